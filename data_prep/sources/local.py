"""A folder of Parquet files in the columns of the Hub's versions, or of JSON Lines."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import islice

import pyarrow.parquet as pq

from data_prep.sources.parquet import batch_rows, open_parquet, read_range
from data_prep.sources.raw import read_rows
from data_prep.sources.source import BATCH_ROWS, Piece, Rows, SourceError, check_columns, even_pieces, hash_file
from recipe.tasks.catalogue import CATALOGUE, Family, get_task

_PARQUET, _JSON_LINES = ".parquet", ".jsonl"


class LocalSource:
    """Files ``<folder>/<task>/<split>.parquet``, or ``.jsonl`` where the dataset was published as JSON Lines.

    ``dapt_<name>`` is the plain text in ``<folder>/<name>/domain*.txt``, an example a line that is not empty.
    A task's folder may also stand in a collection's: ``<folder>/<collection>/<task>/``.
    """

    name = "local"

    def __init__(self, folder: str) -> None:
        self.folder = os.path.abspath(os.path.expanduser(folder))
        if not os.path.isdir(self.folder):
            raise SourceError(f"{self.folder}: no such folder; expected <folder>/<task>/<split>.parquet")

    def tasks(self) -> list[str]:
        return [key for key in CATALOGUE if self.splits(key)]

    def splits(self, task: str) -> list[str]:
        if self._texts(task):
            return ["train"]
        folder = self._folder(task)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        splits = (os.path.splitext(name) for name in names)
        return list(dict.fromkeys(split for split, kind in splits if kind in self._kinds(task)))

    def revision(self, task: str) -> str:
        digest = hashlib.sha256()
        for split in self.splits(task):
            digest.update(split.encode())
            for path in self._texts(task) or [self._path(task, split)]:
                hash_file(digest, path)
        return digest.hexdigest()

    def rows(self, task: str, split: str) -> int:
        if self._is_read_by_line(task, split):
            return sum(1 for _ in self._read_lines(task, split))
        return self._open(task, split).metadata.num_rows

    def streamed(self, task: str) -> bool:
        return False

    def pieces(self, task: str, split: str, most: int | None = None) -> list[Piece]:
        return even_pieces(self.rows(task, split), most)

    def read(self, task: str, split: str, columns: Sequence[str], piece: Piece | None = None) -> Iterator[Rows]:
        if self._is_read_by_line(task, split):
            rows = islice(self._read_lines(task, split), *(piece or (0, None)))
            while batch := [{name: row[name] for name in columns} for row in islice(rows, BATCH_ROWS)]:
                yield batch
            return
        file = self._open(task, split)
        check_columns(self._path(task, split), columns, file.schema_arrow.names)
        start, stop = piece or (0, file.metadata.num_rows)
        for batch in read_range(file, columns, start, stop, batch_rows(file)):
            yield batch.to_pylist()

    def _is_read_by_line(self, task: str, split: str) -> bool:
        return bool(self._texts(task)) or self._path(task, split).endswith(_JSON_LINES)

    def _read_lines(self, task: str, split: str) -> Iterator[dict]:
        texts = self._texts(task)
        paths = texts or [self._path(task, split)]
        return read_rows(get_task(task), split, "text" if texts else "json_lines", paths)

    def _texts(self, task: str) -> list[str]:
        """The files of plain text that make up the task, if it is made of such."""
        if get_task(task).family is not Family.MASKED_LM:
            return []
        return sorted(glob.glob(os.path.join(glob.escape(self._folder(task)), "domain*.txt")))

    def _folder(self, task: str) -> str:
        name = task.removeprefix("dapt_")
        own = os.path.join(self.folder, name)
        collected = sorted(glob.glob(os.path.join(glob.escape(self.folder), "*", name, "")))
        return own if os.path.isdir(own) or not collected else collected[0]

    @staticmethod
    def _kinds(task: str) -> tuple[str, ...]:
        """The endings of files that the task can be read from, best first."""
        published = {place.reader for place in get_task(task).origin.places}
        return (_PARQUET, _JSON_LINES) if "json_lines" in published else (_PARQUET,)

    def _path(self, task: str, split: str) -> str:
        paths = [os.path.join(self._folder(task), f"{split}{kind}") for kind in self._kinds(task)]
        return next((path for path in paths if os.path.exists(path)), paths[0])

    def _open(self, task: str, split: str) -> pq.ParquetFile:
        path = self._path(task, split)
        try:
            return open_parquet(path, path)
        except FileNotFoundError as error:
            have = ", ".join(self.splits(task)) or "nothing"
            raise SourceError(f"{path}: no such file ({task} has {have})") from error
