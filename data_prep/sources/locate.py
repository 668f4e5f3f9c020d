"""Finding a dataset on the Hub: the first of its places that has what the catalogue expects.

What was found is remembered in the cache of ``datasets``: all processes of a conversion then read the same commit, and
later ones can do without the network.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from aiohttp import ClientError
from datasets import DownloadConfig, DownloadManager, config, load_dataset_builder
from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from data_prep.sources.raw import write_parquet
from data_prep.sources.source import SourceError
from recipe.tasks import Task, source_splits
from recipe.tasks.origin import Place

_AGAIN = "when that is put right, the same command goes on from here"


class _NotThere(Exception):
    """The place does not have the dataset as the catalogue expects it; the message says why."""


@dataclass
class Found:
    """Where a dataset was found.

    Attributes:
        place: Number of the place in the task's origin.
        commit: Of the repository, or a digest of the files.
        files: Parquet files of each split: paths in the repository, or absolute ones.
        groups: Rows of each row group, of the files whose footers were read.
    """

    place: int
    commit: str
    files: dict[str, list[str]]
    groups: dict[str, list[int]] = field(default_factory=dict)


def locate(task: Task) -> Found:
    """Look for the task's dataset, place by place; offline, what was remembered.

    Raises:
        SourceError: It is nowhere, or the network or the cache does not have it.
    """
    remembered = recall(task)
    if constants.HF_HUB_OFFLINE:
        if remembered is None:
            where = task.origin.places[0].where
            raise SourceError(f"{task.key}: HF_HUB_OFFLINE is set and {where} was not read before; unset it once")
        return remembered
    reasons: list[str] = []
    for number, place in enumerate(task.origin.places):
        try:
            with explained(task.key, place.where):
                commit, files = _look(task, place)
        except _NotThere as reason:
            reasons.append(f"{place.where}: {reason}")
            continue
        if remembered and (remembered.place, remembered.commit, remembered.files) == (number, commit, files):
            return remembered
        found = Found(number, commit, files)
        remember(task, found)
        return found
    tried = "; ".join(reasons)
    raise SourceError(f"{task.key}: the Hub does not have it ({tried}); use local:<folder> for it, or --exclude it")


def recall(task: Task) -> Found | None:
    """What was found before, if it still is what the catalogue says."""
    try:
        with open(_memory(task), encoding="utf-8") as file:
            found = Found(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None
    paths = [path for files in found.files.values() for path in files]
    return found if all(os.path.exists(path) for path in paths if os.path.isabs(path)) else None


def remember(task: Task, found: Found) -> None:
    """Write down what was found, for other processes."""
    path = _memory(task)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.{os.getpid()}", "w", encoding="utf-8") as file:
        json.dump(asdict(found), file)
    os.replace(file.name, path)


def _memory(task: Task) -> str:
    digest = hashlib.sha256(repr(task.origin.places).encode()).hexdigest()[:16]
    return os.path.join(_folder(), f"{task.key}-{digest}.json")


def _folder() -> str:
    return os.path.join(config.HF_DATASETS_CACHE, "data_prep")


def _look(task: Task, place: Place) -> tuple[str, dict[str, list[str]]]:
    """The commit and the files of each split; raises :class:`_NotThere`."""
    commit, files = _unpack(task, place) if place.reader else _resolve(place)
    missing = [split for split in _needed(task) if split not in files]
    if missing:
        raise _NotThere(f"has no split {', '.join(missing)}, only {', '.join(files)}")
    return commit, files


def _needed(task: Task) -> list[str]:
    named = (*task.names_of("train"), *task.names_of("validation"))
    own = [name for split in named for name in source_splits(split)]
    return [name for name in dict.fromkeys(own) if name in task.origin.rows]


def _resolve(place: Place) -> tuple[str, dict[str, list[str]]]:
    """Let ``datasets`` find the files: by the configuration's name, or by the globs of every split."""
    name = None if place.files or place.config == "default" else place.config
    globs = {split: list(patterns) for split, patterns in place.files.items()} or None
    commit = _commit(place)
    try:
        builder = load_dataset_builder(place.repository, name, data_files=globs, revision=commit)
    except LocalEntryNotFoundError:  # the network, although it is a FileNotFoundError, too
        raise
    except (FileNotFoundError, RuntimeError, ValueError) as error:  # no files; a loading script; no configuration
        raise _NotThere(str(error).strip().split("\n")[0]) from error
    prefix = f"hf://datasets/{place.repository}@{commit}/"
    files = {
        str(split): [path.removeprefix(prefix) for path in paths]
        for split, paths in (builder.config.data_files or {}).items()
    }
    others = [path for paths in files.values() for path in paths if not path.endswith(".parquet")]
    if others:
        raise _NotThere(f"{others[0]} is not a Parquet file")
    return commit, files


def _commit(place: Place) -> str:
    """The commit of a place's revision."""
    try:
        return HfApi().dataset_info(place.repository, revision=place.revision).sha or ""
    except GatedRepoError as error:
        raise _NotThere("is gated: ask for access on its page and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise _NotThere("has no such revision") from error
    except RepositoryNotFoundError as error:  # the Hub does not tell one from the other
        raise _NotThere("does not exist, or is private and HF_TOKEN is not a token that may read it") from error


def _unpack(task: Task, place: Place) -> tuple[str, dict[str, list[str]]]:
    """Fetch the original files and read them into Parquet files in the cache."""
    names = list(dict.fromkeys(name for names in place.files.values() for name in names))
    try:
        if place.repository:
            commit = _commit(place)
            paths = [fetch(place.repository, commit, name) for name in names]
        else:
            manager = DownloadManager(download_config=DownloadConfig(use_etag=False))  # offline there are no etags
            paths = [str(manager.download(name)) for name in names]
            commit = _digest(paths)
    except LocalEntryNotFoundError:  # the network, although it is a FileNotFoundError, too
        raise
    except (EntryNotFoundError, FileNotFoundError) as error:
        raise _NotThere(f"has no such files ({str(error).strip().splitlines()[0]})") from error
    fetched = dict(zip(names, paths, strict=True))
    os.makedirs(_folder(), exist_ok=True)
    files = {}
    for split, parts in place.files.items():
        path = os.path.join(_folder(), f"{task.key}-{split}-{commit[:16]}.parquet")
        if not os.path.exists(path):
            write_parquet(task, split, place.reader, [fetched[name] for name in parts], path)
        files[split] = [path]
    return commit, files


def fetch(repository: str, commit: str, path: str) -> str:
    """Download a file into the Hub's cache, if it is not there; returns its place."""
    return hf_hub_download(repository, path, repo_type="dataset", revision=commit)


def _digest(paths: list[str]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def explained(task: str, where: str) -> Iterator[None]:
    """Turns the errors of networks, caches and disks into a :class:`SourceError`."""
    try:
        yield
    except (OfflineModeIsEnabled, LocalEntryNotFoundError) as error:
        if constants.HF_HUB_OFFLINE:
            raise SourceError(
                f"{task}: HF_HUB_OFFLINE is set and {where} is not in the cache; unset it once"
            ) from error
        raise SourceError(f"{task}: cannot reach {constants.ENDPOINT} for {where}; {_AGAIN}") from error
    except (OSError, ClientError) as error:  # requests' errors are OSErrors
        reason = str(error).strip().split("\n")[0]
        raise SourceError(f"{task}: cannot read {where}: {reason}; {_AGAIN}") from error
