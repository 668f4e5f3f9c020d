"""The small files of one stream, in a folder or behind a URL: manifest, lengths and index, each sealed by a hash."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe.data.manifest import INDEX, LENGTHS, MANIFEST, VERSION, Manifest, write_manifest
from recipe.data.remote import fetch, fetch_patiently
from recipe.errors import UserError


class StoreError(UserError):
    """A store that is missing, incomplete, damaged or made for something else: one line with the path and the fix."""


@dataclass(frozen=True)
class StreamFiles:
    """What one stream says about itself.

    Attributes:
        folder: Its folder or URL.
        manifest: Its provenance and counts.
        lengths: (N, 3) int32: rows, tokens of the longest row, target tokens of each example.
        shards: The index's entry of each shard, as MosaicML Streaming writes it.
        digest: Eight hex digits that follow the content.
    """

    folder: str
    manifest: Manifest
    lengths: NDArray[np.int32]
    shards: list[dict[str, Any]]
    digest: str


def read_stream_files(folder: str, fix: str) -> StreamFiles:
    """Read a stream's small files; a changed byte in any of them is found out.

    Args:
        folder: Folder or URL of the stream.
        fix: What the user can do about damage; ends the error messages.

    Raises:
        StoreError: One of them is missing, damaged or of another format version, or they contradict one another.
    """
    texts = {name: read_file(f"{folder}/{name}", fix) for name in (MANIFEST, LENGTHS, INDEX)}
    manifest = _read_manifest(folder, texts[MANIFEST], fix)
    try:
        manifest.check_files(texts)
        lengths = np.load(io.BytesIO(texts[LENGTHS]), allow_pickle=False)
        shards = json.loads(texts[INDEX])["shards"]
        indexed = sum(shard["samples"] for shard in shards)
    except (ValueError, KeyError, TypeError, EOFError) as error:
        raise StoreError(f"{folder}: is damaged ({error}); {fix}") from error
    if not indexed == manifest.written == len(lengths) or lengths.shape != (len(lengths), 3):
        raise StoreError(
            f"{folder}: is incomplete: {MANIFEST} says {manifest.written} examples, {INDEX} {indexed}, "
            f"{LENGTHS} {len(lengths)}; {fix}"
        )
    if not indexed:
        raise StoreError(f"{folder}: has no examples; {fix}")
    digest = hashlib.sha256(texts[INDEX] + texts[MANIFEST]).hexdigest()[:8]
    return StreamFiles(folder, manifest, lengths.astype(np.int32), shards, digest)


def seal_stream(folder: str, lengths: NDArray[np.int32], manifest: Manifest) -> Manifest:
    """Write lengths and manifest into a folder that has a stream's shards and index: then it is a stream.

    Args:
        folder: Local folder.
        lengths: (N, 3) of its examples, see :class:`StreamFiles`.
        manifest: With all that :func:`recipe.data.manifest.write_manifest` does not add.

    Returns:
        The manifest as written.

    Raises:
        OSError: The folder cannot be written, or it has no index.
    """
    content = io.BytesIO()  # on a full disk np.save may leave a short file without a word
    np.save(content, lengths, allow_pickle=False)
    with open(os.path.join(folder, LENGTHS), "wb") as file:
        file.write(content.getvalue())
    return write_manifest(folder, manifest)


def stored_file(shard: dict[str, Any]) -> dict[str, Any]:
    """What an index says of the file that a shard is stored as, compressed or not: basename, bytes and hashes."""
    return shard["zip_data"] or shard["raw_data"]


def shard_files(shards: Sequence[dict[str, Any]]) -> list[str]:
    """The names of the files of an index's shards."""
    return [stored_file(shard)["basename"] for shard in shards]


def _read_manifest(folder: str, content: bytes, fix: str) -> Manifest:
    try:
        text = content.decode()
        version = json.loads(text).get("version")
        if version != VERSION:
            raise StoreError(f"{folder}: is of format version {version}, this code reads {VERSION}; {fix}")
        return Manifest.from_json(text)
    except StoreError:
        raise
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise StoreError(f"{folder}: {MANIFEST} cannot be read ({error}); {fix}") from error


def read_file(path: str, fix: str) -> bytes:
    """The content of a file of the store, local or remote; a remote one is waited for while its store is troubled.

    Raises:
        StoreError: It is not there, or cannot be fetched.
    """
    try:
        return fetch_patiently(lambda: fetch(path), path)
    except FileNotFoundError as error:
        raise StoreError(f"{path}: no such file; {fix}") from error
    except Exception as error:  # every cloud's client has exceptions of its own
        raise StoreError(f"{path}: cannot be fetched ({error}); check the address and the credentials") from error
