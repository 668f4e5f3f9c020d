"""Where raw rows come from: a folder of Parquet files, or the miniature that is generated in place.

A source is named on the command line and named again inside every worker process, so it is cheap to build.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.examples import InvalidData
from recipe.errors import UserError
from recipe.tasks.catalogue import CATALOGUE, get_task

Rows = list[dict[str, Any]]

_BATCH_ROWS = 512  # few enough that long documents stay small, many enough to keep the tokenizer busy


class SourceError(UserError):
    """A source, or a part of it, that is not there."""


class Source(Protocol):
    """Raw datasets in the Hub's layout: columns, nesting and label integers of the Hub's version."""

    @property
    def name(self) -> str:
        """What kind of source it is, for the manifest."""
        ...

    def tasks(self) -> list[str]:
        """Keys of the tasks that it has data of."""
        ...

    def splits(self, task: str) -> list[str]:
        """Names of the task's splits, as the source calls them."""
        ...

    def revision(self, task: str) -> str:
        """Identifies the content of the task's data."""
        ...

    def rows(self, task: str, split: str) -> int:
        """Number of raw rows."""
        ...

    def read(self, task: str, split: str, columns: Sequence[str]) -> Iterator[Rows]:
        """The rows in their order, a few hundred at a time.

        Raises:
            InvalidData: One of ``columns`` is missing.
        """
        ...


class LocalSource:
    """Parquet files ``<folder>/<task>/<split>.parquet``."""

    name = "local"

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isdir(self.folder):
            raise SourceError(f"{self.folder}: no such folder; expected <folder>/<task>/<split>.parquet")

    def tasks(self) -> list[str]:
        return [key for key in CATALOGUE if self.splits(key)]

    def splits(self, task: str) -> list[str]:
        folder = os.path.join(self.folder, task)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        return [name.removesuffix(".parquet") for name in names if name.endswith(".parquet")]

    def revision(self, task: str) -> str:
        digest = hashlib.sha256()
        for split in self.splits(task):
            digest.update(split.encode())
            with open(self._path(task, split), "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        return digest.hexdigest()

    def rows(self, task: str, split: str) -> int:
        return self._open(task, split).metadata.num_rows

    def read(self, task: str, split: str, columns: Sequence[str]) -> Iterator[Rows]:
        file = self._open(task, split)
        _check_columns(self._path(task, split), columns, file.schema_arrow.names)
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns), use_threads=False):
            yield batch.to_pylist()

    def _path(self, task: str, split: str) -> str:
        return os.path.join(self.folder, task, f"{split}.parquet")

    def _open(self, task: str, split: str) -> pq.ParquetFile:
        path = self._path(task, split)
        try:
            return pq.ParquetFile(path)
        except FileNotFoundError as error:
            have = ", ".join(self.splits(task)) or "nothing"
            raise SourceError(f"{path}: no such file ({task} has {have})") from error
        except pa.ArrowInvalid as error:
            raise InvalidData(f"{path}: is not a Parquet file ({error}); fetch or write it again") from error


class MiniatureSource:
    """Small generated datasets in the real ones' columns: everything runs offline."""

    name = "miniature"

    def tasks(self) -> list[str]:
        from data_prep.miniature import MINIATURES

        return [key for key in CATALOGUE if key in MINIATURES]

    def splits(self, task: str) -> list[str]:
        return ["train", get_task(task).evaluation_splits[0]]

    def revision(self, task: str) -> str:
        digest = hashlib.sha256()
        for split in self.splits(task):
            for batch in _miniature(task, split).to_batches():
                digest.update(repr(batch.to_pydict()).encode())
        return digest.hexdigest()

    def rows(self, task: str, split: str) -> int:
        return _miniature(task, split).num_rows

    def read(self, task: str, split: str, columns: Sequence[str]) -> Iterator[Rows]:
        table = _miniature(task, split)
        _check_columns(f"miniature {task}/{split}", columns, table.column_names)
        for batch in table.select(list(columns)).to_batches(max_chunksize=_BATCH_ROWS):
            yield batch.to_pylist()


def parse_source(text: str) -> Source:
    """``local:<folder>`` or ``miniature``.

    Raises:
        SourceError: Another text, or a folder that does not exist.
    """
    kind, _, rest = text.partition(":")
    if kind == "local" and rest:
        return LocalSource(rest)
    if text == "miniature":
        return MiniatureSource()
    if kind == "hub":
        raise SourceError(
            "source 'hub': reading from the Hugging Face Hub is not available yet; download the datasets as "
            "<folder>/<task>/<split>.parquet and use local:<folder>"
        )
    near = difflib.get_close_matches(kind, ["local", "miniature"], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise SourceError(f"source {text!r}: expected local:<folder> or miniature{hint}")


@cache
def _miniature(task: str, split: str) -> pa.Table:
    from data_prep.miniature import generate

    return generate(task, split)


def _check_columns(where: str, wanted: Sequence[str], there: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise InvalidData(
            f"{where}: no column {', '.join(missing)} (it has {', '.join(there)}); "
            "give it the columns of the Hub's version"
        )
