"""Finished runs in a bucket, where machines that share no folder find one another's.

    <bucket>/<evaluation>/<task>/<start>/<share of the data>/<run>/finetune.yaml  predictions.parquet  result.json
    <bucket>/<evaluation>/claims/<task>/<start>/<share of the data>/
    <bucket>/<study>/runs/<run>/    as recipe.checkpoint_store has it
    <bucket>/<study>/claims/<run>/

A run's result is stored last: where it is, the run is finished.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from recipe.checkpoint import BEST, BEST_OR_LATEST, CHECKPOINTS, find_checkpoint
from recipe.checkpoint_store import RunStore, link_or_copy, stored_checkpoints
from recipe.data.objects import explain
from recipe.errors import UserError
from recipe.protocol.result import PREDICTIONS, RESULT, TEST_PREDICTIONS
from recipe.run_folder import CONFIG, FINISHED, METRICS

_FILES = ("finetune.yaml", PREDICTIONS, TEST_PREDICTIONS)


class BucketError(UserError):
    """A bucket that cannot be reached or written."""


@contextmanager
def explained(store: RunStore) -> Iterator[None]:
    """Within it what goes wrong is the bucket's fault, and said with what to do about it."""
    try:
        yield
    except Exception as error:  # every cloud's client has exceptions of its own
        raise BucketError(explain(store.url, error)) from error


def fetch_result(store: RunStore, folder: Path) -> None:
    """Gets a fine-tuning run that another machine has finished, if one has.

    Raises:
        BucketError: It cannot be looked for.
    """
    with explained(store):
        names = store.names()
        if RESULT in names:
            for name in (*_FILES, RESULT):
                if name in names:
                    store.fetch(name, folder)


def fetch_finished(store: RunStore, run: Path) -> None:
    """Gets a pre-finetuning run that another machine has finished, if one has: of its checkpoints the best or newest.

    Args:
        store: The run's objects.
        run: Its folder.

    Raises:
        BucketError: It cannot be looked for.
    """
    with explained(store):
        names = store.names()
        if FINISHED in names:
            best, stored = f"{CHECKPOINTS}/{BEST}", stored_checkpoints(names)
            checkpoint = [best] if best in names else stored[list(stored)[-1]]
            for name in (CONFIG, METRICS, *checkpoint, FINISHED):
                store.fetch(name, run)


def store_result(store: RunStore, folder: Path, replace: bool) -> None:
    """Stores a finished fine-tuning run for the other machines; the folder keeps it, too.

    Args:
        store: The run's objects.
        folder: Its folder.
        replace: Also where it is stored already.

    Raises:
        BucketError: It cannot be stored.
    """
    _store(store, folder, [*_FILES, RESULT], replace)


def store_finished(store: RunStore, run: Path) -> None:
    """Stores a finished pre-finetuning run for the other machines, if it was made where there was no bucket yet.

    Raises:
        BucketError: It cannot be stored.
    """
    checkpoint = find_checkpoint(run, BEST_OR_LATEST)
    parts = sorted(checkpoint.iterdir()) if checkpoint.is_dir() else [checkpoint]
    names = [CONFIG, METRICS, *(part.relative_to(run).as_posix() for part in parts), FINISHED]
    _store(store, run, names, replace=False)


def _store(store: RunStore, folder: Path, names: Sequence[str], replace: bool) -> None:
    """Those files of a folder that are there; the last one, which says that the others are complete, after them."""
    *files, mark = names
    with explained(store):
        if not replace and mark in store.names():
            return
        for part in (files, [mark]):
            with TemporaryDirectory(dir=folder) as links:
                for name in filter(lambda name: (folder / name).is_file(), part):
                    link_or_copy(folder / name, Path(links) / name)
                store.put(Path(links))
