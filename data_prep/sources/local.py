"""A folder of Parquet files in the columns of the Hub's versions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence

import pyarrow.parquet as pq

from data_prep.sources.parquet import batch_rows, open_parquet, read_range
from data_prep.sources.source import Piece, Rows, SourceError, check_columns, even_pieces
from recipe.tasks.catalogue import CATALOGUE


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

    def streamed(self, task: str) -> bool:
        return False

    def pieces(self, task: str, split: str, most: int | None = None) -> list[Piece]:
        return even_pieces(self.rows(task, split), most)

    def read(self, task: str, split: str, columns: Sequence[str], piece: Piece | None = None) -> Iterator[Rows]:
        file = self._open(task, split)
        check_columns(self._path(task, split), columns, file.schema_arrow.names)
        start, stop = piece or (0, file.metadata.num_rows)
        for batch in read_range(file, columns, start, stop, batch_rows(file)):
            yield batch.to_pylist()

    def _path(self, task: str, split: str) -> str:
        return os.path.join(self.folder, task, f"{split}.parquet")

    def _open(self, task: str, split: str) -> pq.ParquetFile:
        path = self._path(task, split)
        try:
            return open_parquet(path, path)
        except FileNotFoundError as error:
            have = ", ".join(self.splits(task)) or "nothing"
            raise SourceError(f"{path}: no such file ({task} has {have})") from error
