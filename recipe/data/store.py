"""The shard store's reader: ``<store>/<tokenizer>/<task>/<split>/``, a folder or a URL, read by index.

MosaicML Streaming downloads, caches, verifies and decompresses; everything that could be wrong with a store is found
out when it is opened, except for damage inside a shard, which its hash shows when it is first read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from streaming import StreamingDataset
from streaming.base.storage import CloudDownloader
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.data.manifest import SPLITS, TRAINING_SPLITS, Manifest, columns, token_dtype
from recipe.data.remote import fetch_patiently, is_missing, is_url, store_root
from recipe.data.shard_reader import VerifiedStream
from recipe.data.shared_memory import open_dataset
from recipe.data.stream_files import StoreError, StreamFiles, read_stream_files, stored_file
from recipe.data.tokenizer import fingerprint, tokenizer_folder
from recipe.tasks.catalogue import Task, get_task, registered_tasks

__all__ = [
    "Manifest",
    "ShardStore",
    "StoreError",
    "check_labelled",
    "columns",
    "conversion_command",
    "open_labels",
    "open_manifests",
    "open_store",
    "token_dtype",
]

_THREADS = 8  # that open streams: a bucket's answers are waited for, while a client for each thread takes time to make
_REMOTE = 1  # streaming's state of a shard that has not been fetched


@dataclass(frozen=True)
class _Opened:
    """One verified stream: its small files and its cache folder's name."""

    task: Task
    files: StreamFiles
    cache_name: str


class ShardStore:
    """The examples of several tasks, numbered through in the tasks' order, a task's streams one after another.

    Attributes:
        tasks: T tasks.
        task_of: (N,) int32, each example's index into ``tasks``.
        lengths: (N, 3) int32: rows, tokens of the longest row, target tokens of each example.
        manifests: Of each task, one for each of its streams.
    """

    def __init__(self, opened: Sequence[_Opened], cache: str, cache_limit: str | None = None) -> None:
        self.tasks: list[Task] = list(dict.fromkeys(one.task for one in opened))
        numbers = np.array([self.tasks.index(one.task) for one in opened], np.int32)
        counts = [one.files.manifest.written for one in opened]
        self.manifests: list[list[Manifest]] = [
            [one.files.manifest for one in opened if one.task == task] for task in self.tasks
        ]
        self.task_of: NDArray[np.int32] = np.repeat(numbers, counts)
        self.lengths: NDArray[np.int32] = np.concatenate([one.files.lengths for one in opened])
        self._folders = [one.files.folder for one in opened]
        self._ends = np.cumsum(counts)
        self._cache = cache
        self._dataset = _stream(opened, cache, cache_limit)

    def __len__(self) -> int:
        return len(self.task_of)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The columns (:func:`columns`) of one example.

        Raises:
            StoreError: Its shard is damaged, missing, or cannot be fetched.
        """
        index = range(len(self))[index]
        try:
            return fetch_patiently(lambda: self._read(index), self._folder_of(index))
        except Exception as error:  # every cloud's client has exceptions of its own
            raise self._explain(index, error) from error

    @property
    def task_sizes(self) -> dict[str, int]:
        """How many examples each task has, by key."""
        return {
            task.key: sum(manifest.written for manifest in manifests)
            for task, manifests in zip(self.tasks, self.manifests, strict=True)
        }

    @property
    def shard_sizes(self) -> NDArray[np.int64]:
        """(S,) examples of each shard; shards follow one another as the examples do, each holds one task."""
        return self._dataset.samples_per_shard

    @property
    def shard_bytes(self) -> NDArray[np.int64]:
        """(S,) bytes of each shard as stored: what a download takes."""
        pairs = [pair for shard in self._dataset.shards for pair in shard.file_pairs]
        return np.array([(compressed or raw).bytes for raw, compressed in pairs], np.int64)

    def check_labelled(self) -> None:
        """Raises ``StoreError`` where no example of a task has a label."""
        for folder, manifest in zip(self._folders, chain.from_iterable(self.manifests), strict=True):
            _check_labelled(folder, manifest)

    def _folder_of(self, index: int) -> str:
        return self._folders[int(np.searchsorted(self._ends, index, "right"))]

    def _read(self, index: int) -> dict[str, Any]:
        try:
            return self._dataset[index]
        except BaseException:
            self._forget(int(self._dataset.spanner[index][0]))
            raise

    def _forget(self, shard_id: int) -> None:
        """Let the next reader fetch a shard anew.

        Streaming leaves a shard that failed marked as being fetched, for which others would wait for ever, and what
        came of it in the cache, which would be taken for the shard.
        """
        stream = self._dataset.streams[self._dataset.stream_per_shard[shard_id]]
        for name in self._shard_files(shard_id):
            with suppress(FileNotFoundError):
                os.remove(os.path.join(stream.local, stream.split, name))
        self._dataset._shard_states[shard_id] = _REMOTE

    def _shard_files(self, shard_id: int) -> list[str]:
        return [part.basename for pair in self._dataset.shards[shard_id].file_pairs for part in pair if part]

    def _explain(self, index: int, error: Exception) -> StoreError:
        folder = self._folder_of(index)
        path = f"{folder}/{self._shard_files(int(self._dataset.spanner[index][0]))[-1]}"
        if is_missing(error) or isinstance(error, RuntimeError) or "Checksum" in str(error):
            return StoreError(f"{path}: damaged or missing ({error}); delete {folder} and convert it again")
        return StoreError(f"{path}: cannot be fetched into {self._cache} ({error}); check the connection and the disk")


def open_store(
    store: str,
    tokenizer: PreTrainedTokenizerFast,
    tasks: Sequence[str],
    split: str,
    cache: str,
    cache_limit: str | None = None,
) -> ShardStore:
    """Open one split of some tasks.

    Args:
        store: Folder or URL (``s3://``, ``gs://``, ...).
        tokenizer: The one that the backbone uses; the shards must have been made with an equal one.
        tasks: Keys, in the order that the store's ``tasks`` shall have.
        split: ``train``, ``validation`` or ``test``.
        cache: Local folder for verified, decompressed shards: one for each run, shared by a node's ranks.
        cache_limit: Its largest size, such as ``20gb``: the shards that were not read for longest make room.

    Raises:
        StoreError: The store is missing, incomplete, truncated, or was made with another tokenizer or label space.
    """
    if not tasks:
        raise StoreError(f"{store}: no tasks asked for")
    opened = _open_streams(store, tokenizer, tasks, split)
    return ShardStore(opened, os.path.abspath(os.path.expanduser(cache)), cache_limit)


def open_labels(store: str, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Class names, by task, of those tasks for which the catalogue leaves them open: what their training streams hold.

    Raises:
        StoreError: As :func:`open_store`.
    """
    keys = [key for key in tasks if get_task(key).has_open_labels]
    opened = _open_streams(store, tokenizer, keys, "train") if keys else []
    return {one.task.key: one.files.manifest.labels for one in opened}


def open_manifests(store: str, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[str], split: str) -> list[Manifest]:
    """What the tasks' streams of a split say about themselves.

    Raises:
        StoreError: As :func:`open_store`.
    """
    return [one.files.manifest for one in _open_streams(store, tokenizer, tasks, split)]


def check_labelled(store: str, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[str], split: str) -> None:
    """Whether a split can be scored, told by the small files alone, before anything else is opened.

    Raises:
        StoreError: As :func:`open_store`; or no example of a task has a label.
    """
    for one in _open_streams(store, tokenizer, tasks, split):
        _check_labelled(one.files.folder, one.files.manifest)


def conversion_command(store: str, tokenizer: str, tasks: Sequence[str], split: str) -> str:
    """What makes the shards of these tasks, ``train`` and ``validation`` together.

    Args:
        store: Folder or URL.
        tokenizer: Hub name or folder.
        tasks: Keys, a user's own among them.
        split: ``train``, ``validation`` or ``test``.
    """
    where = "<folder>" if is_url(store) else store
    start = f"python -m data_prep {where} --tokenizer {tokenizer}"
    start += "" if split in TRAINING_SPLITS else f" --splits {split}"
    own = ",".join(key for key in tasks if key in registered_tasks())
    others = ",".join(key for key in tasks if key not in registered_tasks())
    commands = [f"{start} --tasks {others}"] * bool(others) + [f"{start} --user-tasks <YAML> --tasks {own}"] * bool(own)
    return " && ".join(commands)


def _check_labelled(folder: str, manifest: Manifest) -> None:
    if manifest.unlabelled == manifest.written:
        raise StoreError(
            f"{folder}: has no labels, the dataset's owners keep them to themselves; its predictions can be made for a "
            "leaderboard (recipe/leaderboard.py), scores cannot"
        )


def _open_streams(store: str, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[str], split: str) -> list[_Opened]:
    """Read and verify the small files of each task's stream."""
    if split not in SPLITS:
        raise StoreError(f"split {split!r}: a store has {', '.join(SPLITS)}")
    chosen = [get_task(key) for key in tasks]
    store = store_root(store)
    if lacking := [task.key for task in chosen if not task.names_of(split)]:
        raise StoreError(f"{', '.join(lacking)}: the catalogue knows no {split} split (leave them out)")
    wanted = [(task, stream) for task in chosen for stream in task.streams(split)]
    streams = list(dict.fromkeys(stream for _, stream in wanted))
    if not is_url(store):
        _check_folders(store, tokenizer, streams, split)
    mark, root = fingerprint(tokenizer), f"{store}/{tokenizer_folder(tokenizer)}"
    again = conversion_command(store, tokenizer.name_or_path, streams, split)
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda one: _open(root, one[0], one[1], split, mark, again), wanted))


def _check_folders(store: str, tokenizer: PreTrainedTokenizerFast, tasks: Sequence[str], split: str) -> None:
    """What can be said about a local store before any file is opened."""
    command = conversion_command(store, tokenizer.name_or_path, tasks, split)
    if not os.path.isdir(store):
        raise StoreError(f"{store}: no such folder; convert the data first: {command}")
    name = tokenizer_folder(tokenizer)
    if not os.path.isdir(f"{store}/{name}"):
        raise StoreError(
            f"{store}: was made with another tokenizer: it has {_listing(store)}, this one's folder is {name}; "
            f"use that tokenizer or convert with this one: {command}"
        )
    missing = [key for key in tasks if not os.path.isdir(f"{store}/{name}/{key}/{split}")]
    if missing:
        have = [key for key in sorted(os.listdir(f"{store}/{name}")) if os.path.isdir(f"{store}/{name}/{key}/{split}")]
        raise StoreError(
            f"{store}/{name}: no {split} split of {', '.join(missing)} (it has {', '.join(have) or 'no task'}); "
            f"convert: {conversion_command(store, tokenizer.name_or_path, missing, split)}"
        )


def _listing(folder: str) -> str:
    return ", ".join(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())) or "nothing"


def _open(root: str, task: Task, stream: str, split: str, mark: str, again: str) -> _Opened:
    """Read and verify the small files of one stream that the task reads."""
    folder = f"{root}/{stream}/{split}"
    fix = f"delete {folder} and convert it again: {again}"
    files = read_stream_files(folder, fix)
    _check_meaning(folder, get_task(stream), mark, files.manifest, fix)
    if not is_url(folder):
        _check_sizes(folder, files.shards, fix)
    return _Opened(task, files, f"{task.key}/{files.manifest.split}-{files.digest}")


def _check_meaning(folder: str, task: Task, mark: str, manifest: Manifest, fix: str) -> None:
    if manifest.fingerprint != mark:
        raise StoreError(
            f"{folder}: was made with another tokenizer ({manifest.tokenizer}, fingerprint "
            f"{manifest.fingerprint[:8]}, expected {mark[:8]}); {fix}"
        )
    if (manifest.task, manifest.family) != (task.key, task.family.value):
        raise StoreError(f"{folder}: holds {manifest.task} ({manifest.family}), not {task.key}; {fix}")
    if not task.has_open_labels and manifest.labels != task.labels:
        raise StoreError(
            f"{folder}: has the labels {', '.join(manifest.labels)}, "
            f"the catalogue's {task.key} has {', '.join(task.labels)}; {fix}"
        )


def _check_sizes(folder: str, shards: list[dict[str, Any]], fix: str) -> None:
    for shard in shards:
        part = stored_file(shard)
        path = f"{folder}/{part['basename']}"
        size = os.path.getsize(path) if os.path.isfile(path) else 0
        if size != part["bytes"]:
            raise StoreError(f"{path}: is truncated or missing ({size} of {part['bytes']} bytes); {fix}")


def _stream(opened: Sequence[_Opened], cache: str, cache_limit: str | None) -> StreamingDataset:
    # The cache folder's name follows the content: a store that was converted again never meets its old shards.
    downloader = CloudDownloader.get(opened[0].files.folder)
    streams = [VerifiedStream(one.files, f"{cache}/{one.cache_name}", downloader) for one in opened]
    try:
        return open_dataset(streams, cache_limit)
    except ValueError as error:
        if cache_limit is not None and "cache limit" in str(error).lower():
            raise StoreError(f"data.cache_limit={cache_limit}: is too little for this store ({error})") from error
        if "Reused local directory" not in str(error):
            raise
        raise StoreError(
            f"{cache}: is in use by an open store or was by a run that was killed; give this one its own cache"
        ) from error
