"""A clean store: the same streams without the training examples that evaluation sets have, too."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from streaming import MDSWriter

from data_prep.check_example import measure
from data_prep.overlap.index import IndexedStream, KeyIndex
from data_prep.overlap.match import Matches, Pairs
from data_prep.streams import read_shard
from recipe.data.manifest import INDEX, LENGTHS, MANIFEST
from recipe.data.remote import is_url, store_root
from recipe.data.stream_files import StoreError, read_file, seal_stream, shard_files
from recipe.tasks.catalogue import Family, get_task

Removed = Counter[tuple[str, str]]  # (training stream, evaluation stream) -> examples


def choose_removals(index: KeyIndex, matches: Matches) -> NDArray[np.int16]:
    """(N,) for each training example to remove the evaluation stream that has it, for the others -1.

    Whole examples count, word for word or nearly; a single text counts where it is all that a classification example
    has. Of several evaluation streams the first of the closest kind is named. Evaluation examples always stay.
    """
    training = np.array([one.is_training for one in index.streams], bool)
    classification = np.array([get_task(one.stream.task).family is Family.CLASSIFICATION for one in index.streams])
    reasons = np.full(len(index), -1, np.int16)

    def mark(pairs: Pairs) -> None:
        query, target = index.stream_of[pairs[:, 0]], index.stream_of[pairs[:, 1]]
        chosen = training[query] & ~training[target] & (reasons[pairs[:, 0]] < 0)
        queries, first = np.unique(pairs[chosen, 0], return_index=True)
        reasons[queries] = target[chosen][first]

    mark(matches.exact)
    mark(matches.near)
    alone = index.single[matches.text[:, 0]] & classification[index.stream_of[matches.text[:, 0]]]
    mark(matches.text[alone])
    return reasons


def write_clean_store(
    index: KeyIndex, reasons: NDArray[np.int16], folder: str, advance: Callable[[int], None]
) -> Removed:
    """Write all streams of the index into a new store, the training streams without what ``reasons`` says.

    The store appears when it is complete. A training stream that would be empty is left out.

    Args:
        folder: The new store; it must not exist.
        advance: Told how many more examples were handled.

    Raises:
        StoreError: The folder exists, is a URL, or cannot be written; or a shard of the old store is damaged.
    """
    if is_url(folder):
        raise StoreError(f"--drop-overlap {folder}: expected a local folder; copy it to the bucket afterwards")
    final = store_root(folder)
    if os.path.exists(final):
        raise StoreError(f"--drop-overlap {final}: is already there; name a new folder or delete this one")
    partial = f"{final}.partial-{os.getpid()}"
    removed: Removed = Counter()
    try:
        for number, one in enumerate(index.streams):
            own = reasons[index.starts[number] : index.starts[number + 1]]
            by_stream = Counter(index.streams[reason].name for reason in own[own >= 0].tolist())
            removed.update({(one.name, name): count for name, count in by_stream.items()})
            place = os.path.join(partial, one.stream.tokenizer_folder, one.stream.task, one.stream.split)
            _write_stream(one, own < 0, by_stream, place)
            advance(len(own))
        os.rename(partial, final)
    except OSError as error:
        raise StoreError(f"{error.filename or final}: cannot write the store: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return removed


def _write_stream(one: IndexedStream, keep: NDArray[np.bool_], removed: Counter[str], folder: str) -> None:
    if keep.all():
        _copy(one, folder)
    elif keep.any():
        _rewrite(one, keep, removed, folder)


def _copy(one: IndexedStream, folder: str) -> None:
    os.makedirs(folder)
    for name in (*shard_files(one.files.shards), INDEX, LENGTHS, MANIFEST):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(read_file(f"{one.stream.folder}/{name}", one.stream.fix))


def _rewrite(one: IndexedStream, keep: NDArray[np.bool_], removed: Counter[str], folder: str) -> None:
    shard = one.files.shards[0]
    writer = MDSWriter(
        out=folder,
        columns=dict(zip(shard["column_names"], shard["column_encodings"], strict=True)),
        compression=shard["compression"],
        hashes=shard["hashes"],
        size_limit=shard["size_limit"],
    )
    tokens, kept = 0, iter(keep.tolist())
    for shard in one.files.shards:
        for sample in read_shard(one.stream, shard):
            if next(kept):
                writer.write(sample)
                tokens += measure(sample)[3]
    writer.finish()
    lengths = one.files.lengths[keep]
    manifest = one.files.manifest
    dropped = {**manifest.dropped, **{f"overlaps {name}": count for name, count in removed.items()}}
    counts = {"written": len(lengths), "rows": int(lengths[:, 0].sum()), "tokens": tokens}
    seal_stream(folder, lengths, replace(manifest, dropped=dict(sorted(dropped.items())), **counts))
