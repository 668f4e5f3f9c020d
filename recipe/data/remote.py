"""Files of a store that is a folder or a URL, read whole: MosaicML Streaming's downloaders know the clouds."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlparse

from streaming.base.storage import CloudDownloader

WAITS_S = (1, 2, 4, 8, 16, 32)  # between tries: a store that is gone for a minute stops nothing
_REFUSALS = ("forbidden", "accessdenied", "access denied", "credentials", "invalidaccesskey")
_FULL_OR_SHUT = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS)

T = TypeVar("T")
log = logging.getLogger(__name__)
_idle: dict[tuple[str, str], list[CloudDownloader]] = defaultdict(list)  # by scheme and bucket


def is_url(path: str) -> bool:
    """Whether a store, or a file of one, lies in an object store (``s3://``, ``gs://``, ...)."""
    return "://" in path


def store_root(store: str) -> str:
    """A store as a user names it, ready to be joined with names: a folder's absolute path, or the URL."""
    return store.rstrip("/") if is_url(store) else os.path.abspath(os.path.expanduser(store))


def fetch(path: str) -> bytes:
    """The content of a small file, local or remote.

    Raises:
        OSError: A local file cannot be read; ``FileNotFoundError`` where there is none.
        Exception: Every cloud's client has exceptions of its own.
    """
    if not is_url(path):
        return _read(path)
    with tempfile.TemporaryDirectory() as folder, _borrow_downloader(path) as downloader:
        downloader.download(path, f"{folder}/file")
        return _read(f"{folder}/file")


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@contextmanager
def _borrow_downloader(url: str) -> Iterator[CloudDownloader]:
    """A downloader for a URL's bucket, for one thread at a time; it is kept for the next file unless it failed.

    The client of a new one takes longer to make than a small file to fetch.
    """
    idle = _idle[urlparse(url)[:2]]
    try:
        downloader = idle.pop()
    except IndexError:
        downloader = CloudDownloader.get(url)
    yield downloader
    idle.append(downloader)


def fetch_patiently(attempt: Callable[[], T], path: str, deed: str = "fetched") -> T:
    """What ``attempt`` returns; if an object store fails for a reason that may pass, after ever longer waits.

    Args:
        attempt: Fetches something.
        path: Where from; a local one is tried once.
        deed: What a warning says cannot be done.

    Raises:
        Exception: The last try's. At once where waiting cannot help: no such object, no right to it, no room here.
    """
    for wait in WAITS_S if is_url(path) else ():
        try:
            return attempt()
        except Exception as error:  # every cloud's client has exceptions of its own
            if is_missing(error) or _is_refused(error):
                raise
            log.warning("%s: cannot be %s (%s); trying again in %d s", path, deed, error, wait)
            time.sleep(wait)
    return attempt()


def is_missing(error: Exception) -> bool:
    """Whether a cloud's client says that there is no such object."""
    return isinstance(error, FileNotFoundError) or "not found" in str(error).lower()


def _is_refused(error: Exception) -> bool:
    here = isinstance(error, OSError) and error.errno in _FULL_OR_SHUT
    return here or any(word in str(error).lower() for word in _REFUSALS)
