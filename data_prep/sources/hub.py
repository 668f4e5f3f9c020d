"""The Hugging Face Hub: every dataset of the catalogue from where it is today."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem, constants, try_to_load_from_cache

from data_prep.sources.locate import Found, explained, fetch, locate, recall, remember
from data_prep.sources.parquet import group_rows, leaves, open_parquet, read_range
from data_prep.sources.source import (
    BATCH_ROWS,
    PIECE_ROWS,
    Piece,
    Rows,
    SourceError,
    check_columns,
)
from recipe.tasks.catalogue import CATALOGUE, get_task
from recipe.tasks.origin import Place

_STREAMED_BATCH_ROWS = 64  # whole web pages: a few megabytes a row once they are Python objects
_FOOTERS_AT_ONCE = 16  # requests under way


class HubSource:
    """Parquet files on the Hub, found by :mod:`data_prep.sources.locate`.

    Row counts come from the files' footers. Files are downloaded into the Hub's cache when their rows are wanted;
    those of streamed datasets are never: their rows are read by byte range.
    """

    name = "hub"

    def __init__(self) -> None:
        self._known: dict[str, Found] = {}

    def tasks(self) -> list[str]:
        return [key for key, task in CATALOGUE.items() if task.origin.places]

    def splits(self, task: str) -> list[str]:
        return sorted(self._found(task).files)

    def revision(self, task: str) -> str:
        if not get_task(task).origin.places:
            licence = get_task(task).origin.licence
            raise SourceError(f"{task}: is not on the Hub ({licence}); use local:<folder> with a copy of your own")
        found = self._known[task] = locate(get_task(task))
        return f"{self._place(task).where}@{found.commit}"

    def streamed(self, task: str) -> bool:
        return get_task(task).origin.streamed

    def rows(self, task: str, split: str) -> int:
        return sum(map(sum, self._groups(task, self._files(task, split))))

    def pieces(self, task: str, split: str, most: int | None = None) -> list[Piece]:
        pieces = _cut(self._groups(task, self._files(task, split), most), by_file=self.streamed(task))
        return pieces if most is None else [(start, min(stop, most)) for start, stop in pieces if start < most]

    def read(self, task: str, split: str, columns: Sequence[str], piece: Piece | None = None) -> Iterator[Rows]:
        start, stop = piece or (0, self.rows(task, split))
        files = self._files(task, split)
        position = 0
        for file, groups in zip(files, self._groups(task, files, stop), strict=False):
            size = sum(groups)
            if position < stop and position + size > start:
                yield from self._read_file(task, file, columns, max(0, start - position), stop - position)
            position += size

    def _read_file(self, task: str, path: str, columns: Sequence[str], start: int, stop: int) -> Iterator[Rows]:
        origin, names = get_task(task).origin, self._place(task).columns
        here = {names.get(column, column): column for column in columns}
        batch_rows = _STREAMED_BATCH_ROWS if origin.streamed else BATCH_ROWS
        with self._open(task, path, download=not origin.streamed) as file:
            check_columns(f"{self._place(task).where} {path}", list(here), file.schema_arrow.names)
            for batch in read_range(file, leaves(file, list(here), origin.unread), start, stop, batch_rows):
                yield batch.rename_columns([here[name] for name in batch.schema.names]).to_pylist()

    def _found(self, task: str) -> Found:
        """What :meth:`revision` found, in this process or in the one that started it."""
        if task not in self._known:
            found = recall(get_task(task))
            if found is None:
                self.revision(task)
            else:
                self._known[task] = found
        return self._known[task]

    def _place(self, task: str) -> Place:
        return get_task(task).origin.places[self._found(task).place]

    def _files(self, task: str, split: str) -> list[str]:
        files = self._found(task).files
        if split not in files:
            raise SourceError(f"{task}: {self._place(task).where} has no split {split} ({', '.join(files)})")
        return files[split]

    def _groups(self, task: str, files: Sequence[str], most: int | None = None) -> list[list[int]]:
        """Rows of each file's row groups; with ``most``, of as many files as hold that many rows."""
        known, rows, read = self._found(task).groups, 0, 0
        wave = _FOOTERS_AT_ONCE if most is None else 1
        for number in range(0, len(files), wave):
            if most is not None and rows >= most:
                break
            part = files[number : number + wave]
            unknown = [path for path in part if path not in known]
            with ThreadPoolExecutor(wave) as pool:
                sizes = pool.map(lambda path: self._footer(task, path), unknown)
                known.update(zip(unknown, sizes, strict=True))
            rows, read = rows + sum(sum(known[path]) for path in part), read + len(unknown)
        if read:
            remember(get_task(task), self._found(task))
        return [known[path] for path in files if path in known]

    def _footer(self, task: str, path: str) -> list[int]:
        with self._open(task, path, download=False) as file:
            return group_rows(file)

    @contextmanager
    def _open(self, task: str, path: str, download: bool) -> Iterator[pq.ParquetFile]:
        """A file from the cache, put there if ``download``; else the file on the Hub itself."""
        repository, commit = self._place(task).repository, self._found(task).commit
        with explained(task, f"{self._place(task).where}@{commit} {path}"):
            file: Any = path
            if not path.startswith("/"):
                cached = try_to_load_from_cache(repository, path, revision=commit, repo_type="dataset")
                if isinstance(cached, str):
                    file = cached
                elif download or constants.HF_HUB_OFFLINE:
                    file = fetch(repository, commit, path)
                else:
                    file = HfFileSystem(endpoint=constants.ENDPOINT).open(
                        f"datasets/{repository}@{commit}/{path}", cache_type="none"
                    )
            with open_parquet(file, f"{self._place(task).where} {path}") as parquet:
                yield parquet


def _cut(groups: Sequence[Sequence[int]], by_file: bool) -> list[Piece]:
    """Pieces that begin and end where files do, or row groups as far as :data:`PIECE_ROWS` allows."""
    pieces: list[Piece] = []
    position = 0
    for sizes in groups:
        start = position
        for size in sizes:
            if not by_file and position > start and position + size - start > PIECE_ROWS:
                pieces.append((start, position))
                start = position
            position += size
            while not by_file and position - start > PIECE_ROWS:
                pieces.append((start, start + PIECE_ROWS))
                start += PIECE_ROWS
        if position > start:
            pieces.append((start, position))
    return pieces
