"""A run's copy in an object store: uploaded while training goes on, fetched where the run continues elsewhere.

    <checkpoint_store>/<run_name>/config.yaml  metrics.jsonl  finished.json
    <checkpoint_store>/<run_name>/checkpoints/ep0-ba500-rank0.pt  best-rank0.pt

The same rule as on disk says what is complete. An object appears whole or not at all, however many parts it is sent in,
so a checkpoint that is one file is complete when it is there. One that is a folder of shards is complete when its index
is there, which is uploaded last and deleted first.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import TypeVar

from composer.utils import dist
from streaming.base.storage import CloudDownloader

from recipe.checkpoint import BEST, CHECKPOINTS, checkpoint_batch, latest_checkpoint
from recipe.data.objects import BUCKETS, explain, is_bucket, key_prefix, move, open_bucket
from recipe.data.remote import fetch_patiently
from recipe.errors import UserError
from recipe.run_folder import CONFIG, FINISHED, METRICS
from recipe.sharded_checkpoint import INDEX

STAGING = "uploading"  # in the run's folder: links to what is on its way

T = TypeVar("T")


class CheckpointStoreError(UserError):
    """An object store that checkpoints cannot be written to or fetched from."""


class RunStore:
    """One run's objects, named as in its folder.

    Args:
        url: Of the store of all runs.
        run_name: The run.

    Raises:
        CheckpointStoreError: Not a kind of store that can be written.
    """

    def __init__(self, url: str, run_name: str) -> None:
        if not is_bucket(url):
            raise CheckpointStoreError(f"checkpoint_store={url}: expected {BUCKETS}")
        self.url = f"{url.rstrip('/')}/{run_name}"
        self._prefix = key_prefix(self.url)

    def names(self) -> list[str]:
        """What is there, e.g. ``checkpoints/ep0-ba5-rank0.pt``."""
        found = fetch_patiently(lambda: open_bucket(self.url).list(self._prefix), self.url, "listed")
        return [key.removeprefix(self._prefix) for key in found]

    def put(self, folder: Path) -> None:
        """Moves all files of a local folder to the store; one after another, a folder's index last."""
        paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        for path in sorted(paths, key=lambda path: (path.startswith(CHECKPOINTS), path.endswith(INDEX), path)):
            fetch_patiently(lambda path=path: move(str(folder), [path], self.url), f"{self.url}/{path}", "uploaded")

    def fetch(self, name: str, folder: Path) -> None:
        """Fetches a file; it appears whole."""
        target = folder / name
        partial = target.with_name(f"{target.name}.partial-{os.getpid()}")

        def attempt() -> None:
            partial.unlink(missing_ok=True)
            CloudDownloader.direct_download(f"{self.url}/{name}", str(partial))
            if name.endswith(".pt"):
                _check_sums(partial)

        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            fetch_patiently(attempt, f"{self.url}/{name}")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def delete(self, names: Iterable[str]) -> None:
        """Deletes files, a folder's index first."""
        bucket = open_bucket(self.url)
        for name in sorted(names, key=lambda name: not name.endswith(INDEX)):
            key = self._prefix + name
            fetch_patiently(lambda key=key: bucket.delete(key), f"{self.url}/{name}", "deleted")


def stored_checkpoints(names: Iterable[str]) -> dict[str, list[str]]:
    """Files of each complete checkpoint in a store, by the checkpoint's name, oldest first.

    Args:
        names: From :meth:`RunStore.names`.
    """
    files: dict[str, list[str]] = {}
    for name in names:
        if checkpoint := checkpoint_of(name):
            files.setdefault(checkpoint, []).append(name)
    complete = {
        checkpoint: own
        for checkpoint, own in files.items()
        if own == [f"{CHECKPOINTS}/{checkpoint}"] or f"{CHECKPOINTS}/{checkpoint}/{INDEX}" in own
    }
    return dict(sorted(complete.items(), key=lambda entry: checkpoint_batch(entry[0]) or 0))


def checkpoint_of(name: str) -> str | None:
    """The step's checkpoint that a file belongs to or is; None for the best one and for other files."""
    folder, checkpoint = (*PurePosixPath(name).parts, "", "")[:2]
    return checkpoint if folder == CHECKPOINTS and checkpoint_batch(checkpoint) is not None else None


def begin_run(store: RunStore, run: Path) -> None:
    """Stores the configuration, and so finds out before training whether the store can be written. On every rank.

    A run that had finished and goes on for longer is no longer marked as finished, as in its folder.

    Raises:
        CheckpointStoreError: On every rank, if it cannot.
    """
    folder = run / STAGING / "configuration"

    def put() -> None:
        link_or_copy(run / CONFIG, folder / CONFIG)
        store.put(folder)
        store.delete({FINISHED} & set(store.names()))

    _everywhere(put if dist.get_global_rank() == 0 else lambda: None, store)


def fetch_run(store: RunStore, run: Path) -> None:
    """Gets the newest checkpoint of all to every machine, from the store or by way of it. To be called on every rank.

    Machines that share the folder fetch it once. After that every rank finds the same latest checkpoint in ``run``.

    Raises:
        CheckpointStoreError: On every rank, if one of them cannot reach the store.
    """
    rank, leads = dist.get_global_rank(), dist.get_local_rank() == 0
    local = _everywhere(lambda: _latest_name(run), store)
    stored = _everywhere(lambda: [*stored_checkpoints(store.names())] if rank == 0 else [], store)[0]
    newest = max((*local, *stored), key=lambda name: checkpoint_batch(name) or 0, default="")
    if all(name == newest for name in local):
        return
    if newest not in stored:
        holder = local.index(newest)
        _everywhere(lambda: store.put(stage(run, newest, "newest")) if rank == holder else None, store)
    for turn in (rank == 0, leads and rank > 0):
        _everywhere(lambda turn=turn: _fetch_checkpoint(store, run, newest) if turn else None, store)


def stage(run: Path, checkpoint: str, name: str) -> Path:
    """A folder ``uploading/<name>`` with what the store is to get: hard links, so that retention may go on beside it.

    Args:
        run: The run's folder.
        checkpoint: Name of a complete checkpoint.
        name: Of the folder.
    """
    target, path = run / STAGING / name, run / CHECKPOINTS / checkpoint
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    for file in files:
        link_or_copy(file, target / file.relative_to(run))
    stage_metrics(run, name)
    return target


def stage_metrics(run: Path, name: str) -> Path:
    """A folder ``uploading/<name>`` with a copy of the metrics, which grow, and of the mark of a finished run."""
    target = run / STAGING / name
    target.mkdir(parents=True, exist_ok=True)
    for file in (METRICS, FINISHED):
        if (run / file).is_file():
            shutil.copyfile(run / file, target / file)
    return target


def link_or_copy(source: Path, target: Path) -> None:
    """Makes a file appear a second time, without its bytes where the file system can."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # a killed run's
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _fetch_checkpoint(store: RunStore, run: Path, newest: str) -> None:
    if _latest_name(run) == newest:  # another machine's fetch was for this one, too
        return
    names = store.names()
    small = [name for name in (CONFIG, METRICS, f"{CHECKPOINTS}/{BEST}") if name in names]
    shards = sorted(stored_checkpoints(names)[newest], key=lambda name: name.endswith(INDEX))
    for name in (*small, *shards):
        store.fetch(name, run)


def _latest_name(run: Path) -> str:
    latest = latest_checkpoint(run / CHECKPOINTS)
    return "" if latest is None else latest.name


def _check_sums(checkpoint: Path) -> None:
    """Raises an exception unless every byte is as it was written: the file is a zip archive, with checksums."""
    with zipfile.ZipFile(checkpoint) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise zipfile.BadZipFile(f"wrong bytes in {damaged}")


def _everywhere(act: Callable[[], T], store: RunStore) -> list[T]:
    """What ``act`` returned on every rank. If it failed on one, all raise, so that none waits for the others."""
    outcome, problem = None, None
    try:
        outcome = act()
    except Exception as error:  # every cloud's client has exceptions of its own
        problem = explain(store.url, error)
    outcomes, problems = zip(*dist.all_gather_object((outcome, problem)), strict=True)
    for problem in filter(None, problems):
        raise CheckpointStoreError(problem)
    return list(outcomes)
