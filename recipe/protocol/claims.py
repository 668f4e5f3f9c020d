"""Who is at what: of the processes that share an evaluation only one makes a run.

On one machine, and on machines that share a folder, a lock says so. Machines that share a bucket claim there what they
begin:

    <bucket>/<evaluation>/claims/<what>/<process>.<beat>

A claim's beat rises every minute. One that has stood still for five is a dead machine's. A claim counts only if its
process finds no other after its own is there: of two that come at the same moment both may give way, and try again.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import uniform
from threading import Event, Thread
from uuid import uuid4

from filelock import FileLock, Timeout

from recipe.checkpoint_store import RunStore
from recipe.protocol.bucket import BucketError, explained

BEAT_S, DEAD_S, POLL_S = 60.0, 300.0, 5.0

log = logging.getLogger(__name__)


class Taken(Exception):
    """Another process is at it."""


class Claims:
    """A process's claims on the parts of an evaluation or a study, and what it knows of others'.

    Args:
        shared: URL where machines that do not share the folder claim; None where there are none.
    """

    def __init__(self, shared: str | None) -> None:
        self._shared = shared
        self._first_seen: dict[str, dict[str, float]] = {}  # of each part, claim by claim; a name has the beat in it

    @contextmanager
    def claim(self, part: str, folder: Path) -> Iterator[None]:
        """Within it no other process is at a part.

        Args:
            part: Its name, the same on all machines.
            folder: Of what is to be made; made if it is not there.

        Raises:
            Taken: Another process is at it, or wants it at this moment: ask again after a while.
            BucketError: The bucket cannot be reached.
        """
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = FileLock(folder / ".lock").acquire(timeout=0)
        except Timeout:
            raise Taken from None
        with held:
            if self._shared is None:
                yield
            else:
                with self._claim_there(part, RunStore(f"{self._shared}/claims", part)):
                    yield

    @contextmanager
    def _claim_there(self, part: str, claims: RunStore) -> Iterator[None]:
        self._clear_dead(part, claims)
        beat, ended = _Beat(claims), Event()
        try:
            beat.next()
            if beat.has_others():
                raise Taken

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
        finally:
            beat.end()

    def _clear_dead(self, part: str, claims: RunStore) -> None:
        now, before = time.monotonic(), self._first_seen.get(part, {})
        seen = self._first_seen[part] = {name: before.get(name, now) for name in _names(claims)}
        if any(now - since <= DEAD_S for since in seen.values()):
            raise Taken
        with explained(claims):
            claims.delete(seen)


def wait_for_others() -> None:
    """A pause before what others are at is asked for again; not as long for all, lest they meet again."""
    time.sleep(POLL_S * uniform(0.5, 1.5))


def _names(claims: RunStore) -> list[str]:
    with explained(claims):
        return claims.names()


class _Beat:
    """A claim: one empty object, whose name says that its process is alive."""

    def __init__(self, claims: RunStore) -> None:
        self._claims = claims
        self._own = uuid4().hex
        self._beats = count()
        self._there: list[str] = []  # more than one where an old one could not be deleted

    def next(self) -> None:
        name = f"{self._own}.{next(self._beats)}"
        with explained(self._claims), tempfile.TemporaryDirectory() as folder:
            (Path(folder) / name).touch()
            self._claims.put(Path(folder))
            *old, _ = self._there = [*self._there, name]
            self._claims.delete(old)
            self._there = [name]

    def has_others(self) -> bool:
        return any(not name.startswith(self._own) for name in _names(self._claims))

    def end(self) -> None:
        try:
            with explained(self._claims):
                self._claims.delete(self._there)
        except BucketError as error:  # others wait as for a dead machine, no longer
            log.warning("a claim cannot be taken back: %s", error)
