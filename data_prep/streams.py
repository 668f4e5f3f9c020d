"""Reading finished streams from end to end, shard by shard, without a cache: what audits need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from streaming.base.compression import decompress
from streaming.base.format.mds.reader import MDSReader
from streaming.base.hashing import get_hash

from recipe.data.manifest import SPLITS
from recipe.data.objects import key_prefix, open_bucket
from recipe.data.remote import is_url, store_root
from recipe.data.stream_files import StoreError, read_file, stored_file
from recipe.data.tokenizer import TOKENIZER_FOLDER
from recipe.tasks.catalogue import UnknownTask, get_task, known_tasks

Sample = dict[str, Any]  # one example's columns, see recipe.data.manifest.columns


@dataclass(frozen=True)
class Stream:
    """The place of one stream, and the names of the files in it."""

    store: str
    tokenizer_folder: str
    task: str
    split: str
    files: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.store}/{self.tokenizer_folder}/{self.task}/{self.split}"

    @property
    def name(self) -> str:
        return f"{self.task}/{self.split}"

    @property
    def fix(self) -> str:
        """What the user can do about damage."""
        return f"delete {self.folder} and convert it again"


@dataclass(frozen=True)
class Listing:
    """What a store holds: its streams in the catalogue's order, and paths that belong to none."""

    streams: list[Stream]
    strays: list[str]


def list_store(store: str, tokenizer_folder: str | None = None) -> Listing:
    """The streams of a store, of one tokenizer or of all.

    Raises:
        StoreError: There is no such store or folder, it cannot be listed, or it has no streams.
    """
    root = store_root(store)
    paths = _list_remote(root) if is_url(root) else _list_local(root)
    files: dict[tuple[str, str, str], list[str]] = {}
    strays = []
    for path in paths:
        parts = path.split("/")
        if len(parts) == 4 and TOKENIZER_FOLDER.fullmatch(parts[0]) and _has_data(parts[1]) and parts[2] in SPLITS:
            files.setdefault((parts[0], parts[1], parts[2]), []).append(parts[3])
        else:
            strays.append(path)
    folders = list(dict.fromkeys(place[0] for place in files))
    if not files:
        raise StoreError(
            f"{root}: holds no streams of known tasks; convert data first: python -m data_prep {root} --help, or name "
            "the YAML of your own tasks: --user-tasks"
        )
    if tokenizer_folder and tokenizer_folder not in folders:
        raise StoreError(f"--tokenizer-folder {tokenizer_folder}: {root} has {', '.join(folders)}")
    order = {key: number for number, key in enumerate(known_tasks())}
    places = sorted(
        files, key=lambda place: (place[0], order.get(place[1], len(order)), place[1], SPLITS.index(place[2]))
    )
    streams = [Stream(root, *place, tuple(sorted(files[place]))) for place in places]
    return Listing([one for one in streams if tokenizer_folder in (None, one.tokenizer_folder)], strays)


def _has_data(key: str) -> bool:
    """Whether a store can have streams of the task."""
    try:
        return get_task(key).stream_of is None
    except UnknownTask:
        return False


def list_one_tokenizer(store: str, tokenizer_folder: str | None) -> Listing:
    """As :func:`list_store`; raises ``StoreError`` where streams of several tokenizers are left."""
    listing = list_store(store, tokenizer_folder)
    folders = list(dict.fromkeys(stream.tokenizer_folder for stream in listing.streams))
    if len(folders) > 1:
        raise StoreError(f"{store}: has streams of several tokenizers; choose one: --tokenizer-folder {folders[0]}")
    return listing


def read_shard(stream: Stream, shard: dict[str, Any]) -> Iterator[Sample]:
    """The examples of one shard, after its hashes were compared.

    Args:
        shard: Its entry in the index.

    Raises:
        StoreError: It is missing or damaged. The index is trusted: it has a seal of its own.
    """
    raw, offsets = _open_shard(stream, shard)
    reader = MDSReader.from_json("", None, shard)
    for begin, end in pairwise(offsets):
        yield reader.decode_sample(raw[begin:end])


def read_example(stream: Stream, shard: dict[str, Any], place: int) -> Sample:
    """The example at a place of one shard; otherwise as :func:`read_shard`."""
    raw, offsets = _open_shard(stream, shard)
    return MDSReader.from_json("", None, shard).decode_sample(raw[offsets[place] : offsets[place + 1]])


def _open_shard(stream: Stream, shard: dict[str, Any]) -> tuple[bytes, list[int]]:
    """The raw shard, and where in it each example begins and the last one ends."""
    raw = _read_raw(stream, shard)
    count = int(np.frombuffer(raw, np.uint32, 1)[0])
    if count != shard["samples"]:
        raise StoreError(f"{stream.folder}: the index has {shard['samples']} examples, the shard {count}; {stream.fix}")
    return raw, np.frombuffer(raw, np.uint32, count + 1, 4).tolist()


def _read_raw(stream: Stream, shard: dict[str, Any]) -> bytes:
    part = stored_file(shard)
    path = f"{stream.folder}/{part['basename']}"
    content = read_file(path, stream.fix)
    _check_hashes(path, content, part, stream.fix)
    if shard["zip_data"]:
        content = decompress(shard["compression"], content)
        _check_hashes(f"{path}, decompressed", content, shard["raw_data"], stream.fix)
    return content


def _check_hashes(path: str, content: bytes, part: dict[str, Any], fix: str) -> None:
    if len(content) != part["bytes"]:
        raise StoreError(f"{path}: is truncated or replaced ({len(content)} of {part['bytes']} bytes); {fix}")
    for algorithm, expected in part["hashes"].items():
        if get_hash(algorithm, content) != expected:
            raise StoreError(f"{path}: is damaged (its {algorithm} is not the index's); {fix}")


def _list_local(root: str) -> list[str]:
    if not os.path.isdir(root):
        raise StoreError(f"{root}: no such folder")
    folders = os.walk(root)
    paths = (os.path.join(folder, name) for folder, _, names in folders for name in names)
    return sorted(os.path.relpath(path, root).replace(os.sep, "/") for path in paths)


def _list_remote(root: str) -> list[str]:
    prefix = key_prefix(root)
    try:
        keys = open_bucket(root).list(prefix)
    except NotImplementedError as error:
        raise StoreError(f"{root}: this kind of store cannot be listed; work on a local copy of it") from error
    except Exception as error:  # every cloud's client has exceptions of its own
        raise StoreError(f"{root}: cannot be listed ({error}); check the address and the credentials") from error
    return sorted(key.removeprefix(prefix) for key in keys)
