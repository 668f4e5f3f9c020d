"""Files of a store that is a folder or a URL, read whole: MosaicML Streaming's downloaders know the clouds."""

from __future__ import annotations

import os
import tempfile

from streaming.base.storage import CloudDownloader


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
    with tempfile.TemporaryDirectory() as temporary:
        local = os.path.join(temporary, "file") if is_url(path) else path
        if is_url(path):
            CloudDownloader.direct_download(path, local)
        with open(local, "rb") as file:
            return file.read()
