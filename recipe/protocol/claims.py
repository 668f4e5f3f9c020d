"""Who is at what: of the processes that share an evaluation only one makes a run.

On one machine, and on machines that share a folder, a lock says so. Machines that share a bucket claim there what they
begin:

    <bucket>/<evaluation>/claims/<what>/<process>.<beat>

A claim's beat rises every minute. One that has stood still for five is a dead machine's. Two machines that begin the
same thing within the same moment may both make it; their results are equal, and either is kept.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import count
from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

from filelock import FileLock, Timeout

from recipe.checkpoint_store import RunStore
from recipe.protocol.bucket import BucketError, explained

BEAT_S, DEAD_S, POLL_S = 60.0, 300.0, 5.0

log = logging.getLogger(__name__)


class Taken(Exception):
    """Another process is at it."""


def claims_at(shared: str | None, what: str) -> RunStore | None:
    """Where machines claim something; None where they share no bucket.

    Args:
        shared: URL of the evaluation or study.
        what: Name of a cell or a run.
    """
    return RunStore(f"{shared}/claims", what) if shared else None


@contextmanager
def claim(folder: Path, claims: RunStore | None, wait: bool) -> Iterator[None]:
    """Within it no other process is at what ``folder`` is for.

    Args:
        folder: Of what is to be made; made if it is not there.
        claims: Where machines that do not share the folder claim it.
        wait: Until a process that is at it has ended; else that is :class:`Taken`.

    Raises:
        Taken: Another process is at it.
        BucketError: The bucket cannot be reached.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(folder / ".lock").acquire(timeout=-1 if wait else 0)
    except Timeout:
        raise Taken from None
    with held, nullcontext() if claims is None else _claim_there(claims, wait):
        yield


@contextmanager
def _claim_there(claims: RunStore, wait: bool) -> Iterator[None]:
    _await_others(claims, wait)
    beat, ended = _Beat(claims), Event()
    beat.next()

    def keep_alive() -> None:
        while not ended.wait(BEAT_S):
            try:
                beat.next()
            except BucketError as error:  # the next one may come through
                log.warning("a claim cannot be renewed: %s", error)

    thread = Thread(target=keep_alive, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        beat.end()


def _await_others(claims: RunStore, wait: bool) -> None:
    seen: dict[str, float] = {}  # a claim's name, which has its beat: when it was first seen
    while names := _names(claims):
        if not wait:
            raise Taken
        now = time.monotonic()
        seen = {name: seen.get(name, now) for name in names}
        if all(now - since > DEAD_S for since in seen.values()):
            with explained(claims):
                claims.delete(names)
            return
        time.sleep(POLL_S)


def _names(claims: RunStore) -> list[str]:
    with explained(claims):
        return claims.names()


class _Beat:
    """This process's claim: one empty object, whose name says that it is alive."""

    def __init__(self, claims: RunStore) -> None:
        self._claims = claims
        self._names = (f"{uuid4().hex}.{number}" for number in count())
        self._name: str | None = None

    def next(self) -> None:
        name = next(self._names)
        with explained(self._claims), tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).touch()
            self._claims.put(Path(folder))
        self.end()  # of the one before
        self._name = name

    def end(self) -> None:
        if self._name is not None:
            with explained(self._claims):
                self._claims.delete([self._name])
