"""What every source of raw rows offers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from data_prep.examples import InvalidData
from recipe.errors import UserError

Rows = list[dict[str, Any]]
Piece = tuple[int, int]  # rows [start, stop) of a split

BATCH_ROWS = 512  # few enough that long documents stay small, many enough to keep the tokenizer busy
PIECE_ROWS = 20_000  # what one process converts at a time: some seconds of work


def hash_file(digest: hashlib._Hash, path: str) -> None:
    """Adds a file's content to a digest, a block at a time."""
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)


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
        """Identifies the content of the task's data. What is read afterwards, by any process, is that content."""
        ...

    def streamed(self, task: str) -> bool:
        """Whether every row read costs network: then a limit means the beginning of a split."""
        ...

    def rows(self, task: str, split: str) -> int:
        """Number of raw rows."""
        ...

    def pieces(self, task: str, split: str, most: int | None = None) -> list[Piece]:
        """Cuts the split into the ranges of rows that are cheap to read on their own: the same in every run.

        Args:
            most: Only the first ``most`` rows are wanted.
        """
        ...

    def read(self, task: str, split: str, columns: Sequence[str], piece: Piece | None = None) -> Iterator[Rows]:
        """The rows of a piece (None: all) in their order, a few hundred at a time.

        Raises:
            InvalidData: One of ``columns`` is missing.
        """
        ...


def even_pieces(rows: int, most: int | None = None) -> list[Piece]:
    """``rows`` rows, ``most`` at most, in pieces of :data:`PIECE_ROWS`, the last one shorter."""
    rows = rows if most is None else min(rows, most)
    return [(start, min(start + PIECE_ROWS, rows)) for start in range(0, rows, PIECE_ROWS)]


@dataclass(frozen=True)
class Selection:
    """The rows of a split that a conversion takes.

    Attributes:
        pieces: What is read, in order.
        total: Rows in the pieces.
        rows: How many of them are taken.
    """

    pieces: tuple[Piece, ...]
    total: int
    rows: int

    def takes(self, row: int) -> bool:
        """Whether the ``row``-th is taken: they are evenly spaced, for many datasets are sorted by label."""
        return self.takes_of((row, row + 1)) == 1

    def takes_of(self, piece: Piece) -> int:
        """How many rows of a piece are taken."""
        start, stop = piece
        return stop * self.rows // self.total - start * self.rows // self.total


def select(source: Source, task: str, split: str, limit: int | None) -> Selection:
    """At most ``limit`` rows (None: all), evenly spaced over the split; of a streamed one its first."""
    pieces = source.pieces(task, split, limit if source.streamed(task) else None)
    total = pieces[-1][1] if pieces else 0
    return Selection(tuple(pieces), total, total if limit is None else min(limit, total))


def check_columns(where: str, wanted: Sequence[str], there: Sequence[str]) -> None:
    """Raises :class:`InvalidData` where a column is missing."""
    missing = [name for name in wanted if name not in there]
    if missing:
        raise InvalidData(
            f"{where}: no column {', '.join(missing)} (it has {', '.join(there)}); "
            "give it the columns of the Hub's version"
        )
