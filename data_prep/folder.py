"""The place that a stream is written to: a folder that is renamed when it is complete, or a prefix of a bucket.

Both work alike. Files appear whole: shards first, then the record of their part, and ``manifest.json`` last of all.
Whatever happens to a process, a file that is there is complete, and a stream without a manifest is not a stream.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import Protocol

from recipe.data.manifest import MANIFEST
from recipe.data.objects import BUCKETS, Bucket, explain, is_bucket, key_prefix, move, open_bucket
from recipe.data.remote import fetch, is_url, store_root
from recipe.errors import UserError

AGAIN = "the same command goes on from what is finished"


class WriteError(UserError):
    """A store that cannot be written or listed: one line with the path, the cause and the fix."""


class Folder(Protocol):
    """Where one stream is written."""

    def names(self) -> set[str]:
        """The files that are there."""
        ...

    def read(self, name: str) -> bytes | None:
        """A small file of the stream being written, None where there is none."""
        ...

    def read_published(self, name: str) -> bytes | None:
        """A small file of the stream that readers see, None where there is none."""
        ...

    def scratch(self) -> AbstractContextManager[str]:
        """A context manager: a local folder for files that are being made, with room for one part."""
        ...

    def put(self, scratch: str, names: Iterable[str]) -> None:
        """Move files out of a scratch folder, one after another; each appears whole."""
        ...

    def begin(self) -> None:
        """Make ready for parts: from now on what is there is not a finished stream."""
        ...

    def publish(self, keep: Collection[str]) -> None:
        """Show a stream that has its manifest to its readers, in the place of an older one; remove all other files."""
        ...

    def discard(self) -> None:
        """Remove what was made of an unfinished stream."""
        ...


def store_path(store: str) -> str:
    """As :func:`recipe.data.remote.store_root`, for a store that is written.

    Raises:
        WriteError: A URL of a kind that cannot be written.
    """
    if is_url(store) and not is_bucket(store):
        raise WriteError(f"{store}: expected a folder or {BUCKETS}")
    return store_root(store)


def open_folder(place: str, mark: str) -> Folder:
    """Where the stream of ``place``, a folder or URL, is written; ``mark`` tells its settings from others."""
    return _RemoteFolder(place) if is_url(place) else _LocalFolder(place, mark)


@contextmanager
def explain_os_errors(path: str) -> Iterator[None]:
    """Turns what the operating system says into a :class:`WriteError` that names the path."""
    try:
        yield
    except OSError as error:
        where, cause = error.filename or path, error.strerror or str(error)
        raise WriteError(f"{where}: cannot write the store: {cause}; put it right: {AGAIN}") from error


class _LocalFolder:
    """``<place>.partial-<mark>`` until it is published: then it is renamed."""

    def __init__(self, place: str, mark: str) -> None:
        self.place = place
        self.path = f"{place}.partial-{mark}"

    def names(self) -> set[str]:
        return set(os.listdir(self.path)) if os.path.isdir(self.path) else set()

    def read(self, name: str) -> bytes | None:
        return _read(os.path.join(self.path, name))

    def read_published(self, name: str) -> bytes | None:
        return _read(os.path.join(self.place, name))

    def scratch(self) -> AbstractContextManager[str]:
        return _scratch(self.path)

    def put(self, scratch: str, names: Iterable[str]) -> None:
        with explain_os_errors(self.path):
            for name in names:
                os.replace(os.path.join(scratch, name), os.path.join(self.path, name))

    def begin(self) -> None:
        with explain_os_errors(self.path):
            self._sweep(keep=self.path)
            os.makedirs(self.path, exist_ok=True)
            if os.path.exists(manifest := os.path.join(self.path, MANIFEST)):
                os.remove(manifest)

    def publish(self, keep: Collection[str]) -> None:
        with explain_os_errors(self.place):
            names = self.names()
            if MANIFEST in names:
                for name in names - set(keep):
                    _remove(os.path.join(self.path, name))
                if os.path.isdir(self.place):
                    os.rename(self.place, f"{self.place}.partial-replaced")
                os.rename(self.path, self.place)
            self._sweep(keep=None)

    def discard(self) -> None:
        with explain_os_errors(self.path):
            shutil.rmtree(self.path)

    def _sweep(self, keep: str | None) -> None:
        """Remove what other conversions left beside the stream's place."""
        parent, name = os.path.split(self.place)
        for entry in os.listdir(parent) if os.path.isdir(parent) else ():
            path = os.path.join(parent, entry)
            if entry.startswith(f"{name}.partial-") and path != keep:
                _remove(path)


@contextmanager
def _scratch(parent: str) -> Iterator[str]:
    with explain_os_errors(parent):
        folder = tempfile.mkdtemp(prefix="data_prep-", dir=parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(path: str) -> bytes | None:
    try:
        return fetch(path)
    except OSError:
        return None


def _remove(path: str) -> None:
    if os.path.isdir(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


class _RemoteFolder:
    """A prefix of a bucket. Objects cannot be renamed: they are made in their final place, the manifest last."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = key_prefix(url)

    def names(self) -> set[str]:
        return set(self._names)

    def read(self, name: str) -> bytes | None:
        if name not in self._names:  # a missing object is another exception in every client
            return None
        with _explain_clouds(self.url):
            return fetch(f"{self.url}/{name}")

    def read_published(self, name: str) -> bytes | None:
        return self.read(name)

    def scratch(self) -> AbstractContextManager[str]:
        return _scratch(tempfile.gettempdir())

    def put(self, scratch: str, names: Iterable[str]) -> None:
        with _explain_clouds(self.url):
            move(scratch, names, self.url)

    def begin(self) -> None:
        self._delete(self._names & {MANIFEST})

    def publish(self, keep: Collection[str]) -> None:
        self._delete(self._names - set(keep))

    def discard(self) -> None:
        self._delete(self._names)

    def _delete(self, names: Iterable[str]) -> None:
        with _explain_clouds(self.url):
            for name in names:
                self._bucket.delete(self.prefix + name)

    @cached_property
    def _names(self) -> set[str]:
        """What was there when it was first asked for: every use opens the folder anew."""
        with _explain_clouds(self.url):
            names = [key.removeprefix(self.prefix) for key in self._bucket.list(self.prefix)]
        return {name for name in names if "/" not in name}

    @cached_property
    def _bucket(self) -> Bucket:
        return open_bucket(self.url)


@contextmanager
def _explain_clouds(url: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # every cloud's client has exceptions of its own
        raise WriteError(f"{explain(url, error)}; {AGAIN}") from error
