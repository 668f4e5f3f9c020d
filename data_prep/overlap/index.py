"""One pass over the store: every example's keys, in files that are read back piece by piece."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.decode import Tokens, decode_texts, example_texts
from data_prep.overlap.keys import ExampleKeys, Keys, example_keys
from data_prep.processes import prepare_worker, worker_context
from data_prep.streams import Sample, Stream, read_shard
from recipe.data.stream_files import StreamFiles
from recipe.tasks.catalogue import Family

_BATCH = 512  # examples; few enough that long ones stay small
_PIECE = 32  # batches that are kept in memory, then written

Report = Callable[[int], None]  # told how many more examples were handled


@dataclass(frozen=True)
class IndexedStream:
    """A stream and what its small files say."""

    stream: Stream
    files: StreamFiles

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def is_training(self) -> bool:
        return self.stream.split == "train"

    def texts(self, sample: Sample, tokenizer: PreTrainedTokenizerFast) -> list[str]:
        """The texts of one of its examples."""
        return decode_texts(tokenizer, self.stored_texts(sample))

    def stored_texts(self, sample: Sample) -> list[Tokens]:
        """Their token ids. The manifest says how: a worker process need not know a user's tasks."""
        return example_texts(sample, Family(self.files.manifest.family), self.files.manifest.stride)


class KeyIndex:
    """The keys of all examples of several streams, numbered through in the streams' order.

    Attributes:
        streams: The G streams.
        starts: (G + 1,) the number of each stream's first example.
        stream_of: (N,) each example's index into ``streams``.
    """

    def __init__(self, streams: Sequence[IndexedStream], folders: Sequence[str]) -> None:
        self.streams = list(streams)
        sizes = [one.files.manifest.written for one in streams]
        self.starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.stream_of: NDArray[np.int16] = np.repeat(np.arange(len(streams), dtype=np.int16), sizes)
        self._folders = folders
        self._shingle_starts = [np.load(os.path.join(folder, "starts.npy")) for folder in folders]
        pieces = [len(starts) - 1 for starts in self._shingle_starts]
        self._piece_starts = np.concatenate([[0], np.cumsum(pieces)]).astype(np.int64)
        self.single: NDArray[np.bool_] = self._read("single")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def whole(self) -> tuple[Keys, NDArray[np.int64]]:
        """Keys of whole examples and the example of each."""
        return self._read("whole"), np.arange(len(self))

    def texts(self) -> tuple[Keys, NDArray[np.int64]]:
        """Keys of single texts and the example of each."""
        owners = [np.load(os.path.join(folder, "owners.npy")) for folder in self._folders]
        shifted = [part + start for part, start in zip(owners, self._piece_starts, strict=False)]
        return self._read("texts"), np.concatenate(shifted)

    def band(self, number: int) -> tuple[Keys, NDArray[np.int64]]:
        """Keys of one band and the example of each."""
        parts = [np.load(os.path.join(folder, "bands.npy"), mmap_mode="r")[number] for folder in self._folders]
        return np.concatenate(parts), np.arange(len(self))

    def shingles(self, example: int) -> NDArray[np.uint32]:
        """The example's distinct shingles, sorted."""
        piece = int(np.searchsorted(self._piece_starts, example, side="right")) - 1
        place = example - self._piece_starts[piece]
        start, stop = self._shingle_starts[piece][place : place + 2].tolist()
        path, size = os.path.join(self._folders[piece], "shingles"), np.dtype(np.uint32).itemsize
        return np.unique(np.fromfile(path, np.uint32, stop - start, offset=start * size))

    def _read(self, name: str) -> NDArray[Any]:
        return np.concatenate([np.load(os.path.join(folder, f"{name}.npy")) for folder in self._folders])


def build_index(
    streams: Sequence[IndexedStream], tokenizer: PreTrainedTokenizerFast, folder: str, workers: int, report: Report
) -> KeyIndex:
    """Index every example of the streams into files in ``folder``.

    Raises:
        StoreError: A shard is damaged.
    """
    jobs = [(one, shard) for one in streams for shard in one.files.shards]
    places = [os.path.join(folder, str(number)) for number in range(len(jobs))]
    if min(workers, len(jobs)) <= 1:
        pieces = []
        for (one, shard), place in zip(jobs, places, strict=True):
            pieces.append(_index_shard(one, shard, tokenizer, place))
            report(shard["samples"])
        return KeyIndex(streams, list(chain(*pieces)))
    processes, environment = min(workers, len(jobs)), dict(os.environ)
    with ProcessPoolExecutor(processes, worker_context(), initializer=prepare_worker, initargs=(environment,)) as pool:
        futures = {
            pool.submit(_index_shard, *job, tokenizer, place): job for job, place in zip(jobs, places, strict=True)
        }
        for future in as_completed(futures):
            future.result()
            report(futures[future][1]["samples"])
        return KeyIndex(streams, list(chain(*(future.result() for future in futures))))


def _index_shard(
    one: IndexedStream, shard: dict[str, Any], tokenizer: PreTrainedTokenizerFast, place: str
) -> list[str]:
    """Write the keys of one shard's examples; returns the folders of its pieces."""
    samples, folders = read_shard(one.stream, shard), []
    batches = (_index_batch(one, batch, tokenizer) for batch in iter(lambda: list(islice(samples, _BATCH)), []))
    while piece := list(islice(batches, _PIECE)):
        folders.append(f"{place}-{len(folders)}")
        _write_piece(piece, folders[-1])
    return folders


def _write_piece(batches: Sequence[ExampleKeys], folder: str) -> None:
    os.makedirs(folder)
    owners = _shifted([batch.owners for batch in batches], [len(batch.whole) for batch in batches])
    starts = _shifted([batch.starts[1:] for batch in batches], [len(batch.shingles) for batch in batches])
    arrays = {
        "whole": np.concatenate([batch.whole for batch in batches]),
        "texts": np.concatenate([batch.texts for batch in batches]),
        "owners": np.concatenate(owners),
        "single": np.concatenate([batch.single for batch in batches]),
        "bands": np.concatenate([batch.bands for batch in batches]).T.copy(),  # one band after another
        "starts": np.concatenate([[0], *starts]).astype(np.int64),
    }
    for name, array in arrays.items():
        np.save(os.path.join(folder, f"{name}.npy"), array, allow_pickle=False)
    with open(os.path.join(folder, "shingles"), "wb") as file:
        for batch in batches:
            batch.shingles.tofile(file)


def _shifted(parts: Sequence[NDArray[np.int64]], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Numbers that count from 0 in each part, counted through."""
    return [part + start for part, start in zip(parts, np.cumsum([0, *sizes]), strict=False)]


def _index_batch(one: IndexedStream, samples: Sequence[Sample], tokenizer: PreTrainedTokenizerFast) -> ExampleKeys:
    parts = [one.stored_texts(sample) for sample in samples]
    decoded = iter(decode_texts(tokenizer, [text for texts in parts for text in texts]))
    return example_keys([[next(decoded) for _ in texts] for texts in parts])
