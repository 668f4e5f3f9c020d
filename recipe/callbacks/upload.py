"""Checkpoints on their way to an object store while training goes on."""

from __future__ import annotations

import logging
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType

from composer.core import State
from composer.loggers import LoggerDestination
from composer.utils import dist

from recipe.checkpoint import BEST, CHECKPOINTS, checkpoint_batch, complete_checkpoints, is_complete
from recipe.checkpoint_store import (
    STAGING,
    CheckpointStoreError,
    RunStore,
    checkpoint_of,
    stage,
    stage_metrics,
    stored_checkpoints,
)
from recipe.data.objects import explain
from recipe.run_folder import METRICS
from recipe.sharded_checkpoint import INDEX

log = logging.getLogger(__name__)


class CheckpointUpload(LoggerDestination):
    """Uploads what Composer says is a finished checkpoint, one after another in a thread. For rank 0 alone.

    Training does not wait: of the checkpoints that wait for the last upload to end only the newest stay, as many as are
    kept on disk, and so many stay in the store. An upload that fails for a minute is reported and tried again with
    the next checkpoint. A context manager: on leaving, all is uploaded.

    Args:
        store: Where to.
        run: The run's folder.
        keep: Checkpoints that the store keeps besides the best one; -1 keeps all.
    """

    def __init__(self, store: RunStore, run: Path, keep: int) -> None:
        self.store = store
        self.run = run
        self.keep = keep
        self._numbers = count()
        self._waiting: list[tuple[str, Path]] = []  # names of checkpoints and what is staged of them, oldest first
        self._news = threading.Condition()
        self._has_news = self._leaving = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> CheckpointUpload:
        """Begins with what an earlier process may not have uploaded."""
        shutil.rmtree(self.run / STAGING, ignore_errors=True)
        self._thread.start()
        stored = stored_checkpoints(self.store.names())
        for checkpoint in complete_checkpoints(self.run / CHECKPOINTS):
            if checkpoint.name not in stored:
                self._enqueue(checkpoint.name)
        if (self.run / CHECKPOINTS / BEST).is_file():
            self._enqueue(BEST)
        return self

    def upload_file(self, state: State, remote_file_name: str, file_path: Path, *, overwrite: bool) -> None:
        """What Composer calls for each finished checkpoint: with its file, or with each of its files on this rank.

        Raises:
            CheckpointStoreError: Other machines wrote parts of it to folders that this one does not see.
        """
        if file_path.name == INDEX:
            if not is_complete(file_path.parent):
                raise CheckpointStoreError(
                    f"{file_path.parent} lacks parts that other machines wrote: set runs=<a folder that all machines "
                    "see>, or sharded_checkpoints=false"
                )
            self._enqueue(file_path.parent.name)
        elif file_path.parent == self.run / CHECKPOINTS:
            self._enqueue(file_path.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for what is left to upload.

        Raises:
            CheckpointStoreError: Not all of it could be, and nothing worse has happened.
        """
        with self._news:
            if self._waiting:
                print(f"uploading to {self.store.url}", file=sys.stderr)
            self._waiting.append((METRICS, stage_metrics(self.run, "last-metrics")))
            self._leaving = True
            self._news.notify()
        self._thread.join()
        left = [name for name, _ in self._waiting]
        shutil.rmtree(self.run / STAGING, ignore_errors=True)
        if left and error is None:
            raise CheckpointStoreError(
                f"{', '.join(left)} could not be uploaded to {self.store.url}; nothing is lost in {self.run}: put the "
                "store right and give the same command again"
            )

    def _enqueue(self, name: str) -> None:
        with self._news:
            self._waiting.append((name, stage(self.run, name, str(next(self._numbers)))))
            self._drop_outdated()
            self._has_news = True
            self._news.notify()

    def _drop_outdated(self) -> None:
        """Forgets what the store would not keep."""
        names = [name for name, _ in self._waiting]
        steps = [name for name in names if checkpoint_batch(name) is not None]
        outdated = set(self._beyond_retention(steps))
        for position, (name, staged) in reversed([*enumerate(self._waiting)]):
            if name in outdated or name in names[position + 1 :]:
                del self._waiting[position]
                shutil.rmtree(staged)

    def _beyond_retention(self, checkpoints: list[str]) -> list[str]:
        """All but the newest of these, oldest first."""
        return [] if self.keep < 0 else checkpoints[: -max(self.keep, 1)]

    def _work(self) -> None:
        leaving = False
        while not leaving:
            with self._news:
                self._news.wait_for(lambda: self._has_news or self._leaving)
                self._has_news, leaving = False, self._leaving
            while self._waiting and self._upload_oldest():
                pass

    def _upload_oldest(self) -> bool:
        with self._news:
            name, staged = self._waiting.pop(0)
        try:
            self.store.put(staged)
            self._apply_retention()
        except Exception as error:  # every cloud's client has exceptions of its own
            log.warning("%s; trying again with the next checkpoint", explain(self.store.url, error))
            with self._news:
                self._waiting.insert(0, (name, staged))
                self._drop_outdated()
            return False
        shutil.rmtree(staged)
        return True

    def _apply_retention(self) -> None:
        """Deletes checkpoints beyond those to keep, and what killed uploads have left of others."""
        names = self.store.names()
        stored = stored_checkpoints(names)
        kept = set(stored) - set(self._beyond_retention([*stored]))
        self.store.delete(name for name in names if (checkpoint := checkpoint_of(name)) and checkpoint not in kept)


@contextmanager
def uploads(store: RunStore | None, run: Path, keep: int) -> Iterator[list[LoggerDestination]]:
    """The loggers that upload a run's checkpoints: none without a store, and on all ranks but the first."""
    if store is None or dist.get_global_rank() > 0:
        yield []
    else:
        with CheckpointUpload(store, run, keep) as upload:
            yield [upload]
