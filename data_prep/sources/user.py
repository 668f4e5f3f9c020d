"""A user's own tasks as a source: the files that a YAML's section ``user_tasks`` names."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

from data_prep.adapters.adapter import PLACE
from data_prep.examples import InvalidData
from data_prep.sources.source import Piece, Rows, SourceError, even_pieces, hash_file
from data_prep.sources.table_file import TableFile, open_table, place
from recipe.config import load_user_tasks
from recipe.tasks.user import UserTask


class UserSource:
    """Rows whose columns are our fields (:data:`recipe.tasks.user.FIELDS`); opening it makes the tasks known.

    Args:
        path: The YAML; its paths are relative to its folder.
    """

    name = "user"

    def __init__(self, path: str) -> None:
        self._yaml = path
        self._entries = load_user_tasks(path)

    def tasks(self) -> list[str]:
        return list(self._entries)

    def splits(self, task: str) -> list[str]:
        return ["train"] if self._entry(task).validation is None else ["train", "validation"]

    def revision(self, task: str) -> str:
        """Each file's name and SHA-256, and what its columns were taken for."""
        files = []
        for split in self.splits(task):
            self._check_columns(task, split)
            path, digest = self._path(task, split), hashlib.sha256()
            hash_file(digest, path)
            files.append(f"{os.path.basename(path)}@{digest.hexdigest()}")
        columns = sorted(self._entry(task).columns.items())
        return f"{', '.join(files)}: {', '.join(f'{name}={_text(column)}' for name, column in columns)}"

    def streamed(self, task: str) -> bool:
        return False

    def rows(self, task: str, split: str) -> int:
        return self._open(task, split).rows

    def pieces(self, task: str, split: str, most: int | None = None) -> list[Piece]:
        return even_pieces(self.rows(task, split), most)

    def read(self, task: str, split: str, columns: Sequence[str], piece: Piece | None = None) -> Iterator[Rows]:
        self._check_columns(task, split)
        table, path = self._open(task, split), self._path(task, split)
        mapped = {name: column for name, column in self._entry(task).columns.items() if name in columns}
        start, stop = piece or (0, table.rows)
        for rows in table.read(_flat(mapped.values()), start, stop):
            if PLACE in columns:
                yield [_rename(row, mapped) | {PLACE: place(path, n)} for n, row in enumerate(rows, start)]
            else:
                yield [_rename(row, mapped) for row in rows]
            start += len(rows)

    def _entry(self, task: str) -> UserTask:
        if task not in self._entries:
            raise SourceError(f"{self._yaml}: describes no task {task} (it has {', '.join(self._entries)})")
        return self._entries[task]

    def _path(self, task: str, split: str) -> str:
        named = getattr(self._entry(task), split)
        return os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(self._yaml)), os.path.expanduser(named)))

    def _open(self, task: str, split: str) -> TableFile:
        try:
            return open_table(self._path(task, split))
        except SourceError as error:
            raise SourceError(f"{error} (user_tasks.{task}.{split} in {self._yaml})") from None

    def _check_columns(self, task: str, split: str) -> None:
        there = self._open(task, split).columns
        for name, column in self._entry(task).columns.items():
            for wanted in _flat([column]):
                if there.count(wanted) != 1:
                    near = difflib.get_close_matches(wanted, there, n=1)
                    hint = f"did you mean {near[0]!r}? It" if near else "it"
                    number = "two columns" if wanted in there else "no column"
                    raise InvalidData(
                        f"{self._path(task, split)}: {number} {wanted!r} for user_tasks.{task}.columns.{name}; "
                        f"{hint} has {', '.join(there)}"
                    )


def _flat(columns: Sequence[Any] | Any) -> list[str]:
    """The columns' names, of choices that have one each, too; none twice."""
    return list(dict.fromkeys(name for one in columns for name in (one if isinstance(one, list) else [one])))


def _rename(row: dict[str, Any], mapped: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [row[each] for each in column] if isinstance(column, list) else row[column]
        for name, column in mapped.items()
    }


def _text(column: Any) -> str:
    return "+".join(column) if isinstance(column, list) else column
