"""Tables in files of several kinds, read by ranges of rows: CSV, TSV, JSONL and Parquet, told by their ending.

Text files are read through once, to know how many rows they have and where every :data:`PIECE_ROWS`-th begins; from
then on a piece is read from its own place.
"""

from __future__ import annotations

import codecs
import csv
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, BinaryIO, Protocol

from data_prep.examples import InvalidData
from data_prep.sources.parquet import batch_rows, open_parquet, read_range
from data_prep.sources.source import BATCH_ROWS, PIECE_ROWS, Rows, SourceError

csv.field_size_limit(1 << 30)  # its own limit, 128 KB, is shorter than some documents


class TableFile(Protocol):
    """A table: rows with named columns."""

    @property
    def columns(self) -> list[str]: ...

    @property
    def rows(self) -> int: ...

    def read(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Rows]:
        """Rows ``[start, stop)``, a few hundred at a time."""
        ...


def open_table(path: str) -> TableFile:
    """The table in a file.

    Raises:
        SourceError: There is no such file, or its ending is none of those known.
        InvalidData: It is not what its ending says, or empty.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending not in _KINDS:
        raise SourceError(f"{path}: cannot tell what kind of file it is; its ending must be one of {', '.join(_KINDS)}")
    if not os.path.isfile(path):
        raise SourceError(f"{path}: no such file")
    state = os.stat(path)
    return _open(path, ending, (state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=16)
def _open(path: str, ending: str, state: tuple[int, int]) -> TableFile:
    """The table, read through once a process for each state of the file."""
    table = _KINDS[ending](path)
    if not table.rows:
        raise InvalidData(f"{path}: has no rows")
    return table


class _ParquetFile:
    def __init__(self, path: str) -> None:
        self._path = path
        with open_parquet(path, path) as file:
            self.columns: list[str] = file.schema_arrow.names
            self.rows: int = file.metadata.num_rows

    def read(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Rows]:
        with open_parquet(self._path, self._path) as file:
            for batch in read_range(file, columns, start, stop, batch_rows(file)):
                yield batch.to_pylist()


class _Lines:
    """The lines of a text file from a byte on; ``byte`` is where the next one begins."""

    def __init__(self, file: BinaryIO, byte: int) -> None:
        self._file = file
        self.byte = byte
        file.seek(byte)

    def __iter__(self) -> Iterator[str]:
        for line in self._file:
            start, self.byte = self.byte, self.byte + len(line)
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as error:
                name = self._file.name
                raise InvalidData(
                    f"{name}: byte {start + error.start:,} is not UTF-8; save the file as UTF-8"
                ) from None


class _TextFile(ABC):
    """A table in a text file, whatever its rows look like."""

    columns: list[str]

    def __init__(self, path: str) -> None:
        self._path = path
        with open(path, "rb") as file:
            beginning = len(codecs.BOM_UTF8) if file.read(3) == codecs.BOM_UTF8 else 0
            self._marks = [(self._read_head(_Lines(file, beginning)), 0)]
        self.rows = 0
        for byte in self._ends():
            self.rows += 1
            if self.rows % PIECE_ROWS == 0:
                self._marks.append((byte, self.rows))

    @abstractmethod
    def _read_head(self, lines: _Lines) -> int:
        """Find out the columns; returns the byte where the rows begin."""

    @abstractmethod
    def _records(self, lines: _Lines, first: int) -> Iterator[Any]:
        """The rows as they are written, empty lines left out; ``first`` is the first one's number."""

    @abstractmethod
    def _parse(self, record: Any, columns: Sequence[str], number: int) -> dict[str, Any]:
        """A row's values; raises :class:`InvalidData` where it is malformed."""

    def read(self, columns: Sequence[str], start: int, stop: int) -> Iterator[Rows]:
        byte, row = self._marks[start // PIECE_ROWS]
        with open(self._path, "rb") as file:
            records = enumerate(islice(self._records(_Lines(file, byte), row), start - row, stop - row), start)
            while batch := list(islice(records, BATCH_ROWS)):
                yield [self._parse(record, columns, number) for number, record in batch]

    def _ends(self) -> Iterator[int]:
        """The byte after each row."""
        with open(self._path, "rb") as file:
            lines = _Lines(file, self._marks[0][0])
            for _ in self._records(lines, 0):
                yield lines.byte


class _DelimitedFile(_TextFile):
    """CSV and TSV: a header, and fields in double quotes where they hold separators, quotes or line breaks."""

    def __init__(self, path: str, delimiter: str) -> None:
        self._delimiter = delimiter
        super().__init__(path)

    def _read_head(self, lines: _Lines) -> int:
        self.columns = next(self._records(lines, 0), [])
        if not self.columns:
            raise InvalidData(f"{self._path}: is empty; its first line must name the columns")
        return lines.byte

    def _records(self, lines: _Lines, first: int) -> Iterator[list[str]]:
        number = first
        try:
            for record in csv.reader(lines, delimiter=self._delimiter, strict=True):
                if record:
                    yield record
                    number += 1
        except csv.Error as error:
            raise InvalidData(
                f"{place(self._path, number)}: a field in quotes is malformed ({error}); write quotes inside it twice, "
                "or use JSONL"
            ) from None

    def _parse(self, record: list[str], columns: Sequence[str], number: int) -> dict[str, Any]:
        if len(record) != len(self.columns):
            raise InvalidData(
                f"{place(self._path, number)}: has {len(record)} fields, the header {len(self.columns)}; put fields "
                "that hold separators into double quotes"
            )
        row = dict(zip(self.columns, record, strict=True))
        return {column: row[column] for column in columns}


class _JSONLines(_TextFile):
    """JSONL: an object a line. The first one's keys are the columns; what others lack is None."""

    def _read_head(self, lines: _Lines) -> int:
        beginning = lines.byte
        for record in self._records(lines, 0):
            self.columns = list(self._object(record, 0))
            return beginning
        raise InvalidData(f"{self._path}: is empty")

    def _records(self, lines: _Lines, first: int) -> Iterator[str]:
        return (line for line in lines if line.strip())

    def _parse(self, record: str, columns: Sequence[str], number: int) -> dict[str, Any]:
        row = self._object(record, number)
        return {column: row.get(column) for column in columns}

    def _object(self, record: str, number: int) -> dict[str, Any]:
        try:
            row = json.loads(record)
        except ValueError as error:
            raise InvalidData(f"{place(self._path, number)}: is not JSON ({error})") from None
        if not isinstance(row, dict):
            raise InvalidData(f"{place(self._path, number)}: expected an object, {{...}}, on every line")
        return row


def place(path: str, number: int) -> str:
    """How errors call a row."""
    return f"{path}, row {number} (the first is 0)"


_KINDS: dict[str, Callable[[str], TableFile]] = {
    ".csv": lambda path: _DelimitedFile(path, ","),
    ".tsv": lambda path: _DelimitedFile(path, "\t"),
    ".jsonl": _JSONLines,
    ".parquet": _ParquetFile,
}
