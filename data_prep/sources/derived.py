"""Splits that the Hub's copy of a dataset has not: joined ones, and parts of the only one.

- ``dev_r1+dev_r2`` is the rows of ``dev_r1``, then those of ``dev_r2``.
- ``train#train``, ``train#validation`` and ``train#test`` are 80, 10 and 10 % of ``train``. A SHA-256 of the row's main
  text decides, so the parts stay what they are whatever the order of the rows, and no text is in two of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from data_prep.adapters import SOURCE_SPLIT, get_adapter
from data_prep.sources.source import Piece, Rows, Source, even_pieces
from recipe.data.manifest import SPLITS
from recipe.tasks import get_task, source_splits


class DerivedSplits:
    """A source with the derived splits that the catalogue names beside its own.

    The column :data:`SOURCE_SPLIT` of its rows is the own split that they come from.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parts: dict[tuple[str, str], list[int]] = {}

    @property
    def name(self) -> str:
        return self._source.name

    def tasks(self) -> list[str]:
        return self._source.tasks()

    def splits(self, task: str) -> list[str]:
        own, entry = self._source.splits(task), get_task(task)
        named = [name for split in SPLITS for name in entry.names_of(split)]
        return own + [name for name in named if name not in own and set(source_splits(name)) <= set(own)]

    def revision(self, task: str) -> str:
        return self._source.revision(task)

    def streamed(self, task: str) -> bool:
        return self._source.streamed(task)

    def rows(self, task: str, split: str) -> int:
        if "#" in split:
            return len(self._numbers(task, split))
        return sum(self._source.rows(task, part) for part in source_splits(split))

    def pieces(self, task: str, split: str, most: int | None = None) -> list[Piece]:
        if "#" in split:
            return even_pieces(self.rows(task, split), most)
        pieces: list[Piece] = []
        for part in source_splits(split):
            before = pieces[-1][1] if pieces else 0
            left = None if most is None else most - before
            if left != 0:
                pieces += [(before + start, before + stop) for start, stop in self._source.pieces(task, part, left)]
        return pieces

    def read(self, task: str, split: str, columns: Sequence[str], piece: Piece | None = None) -> Iterator[Rows]:
        if "#" in split:
            return self._read_part(task, split, columns, piece)
        if "+" in split or SOURCE_SPLIT in columns:
            return self._read_joined(task, split, columns, piece)
        return self._source.read(task, split, columns, piece)

    def _read_joined(self, task: str, split: str, columns: Sequence[str], piece: Piece | None) -> Iterator[Rows]:
        wanted = [column for column in columns if column != SOURCE_SPLIT]
        start, stop = piece or (0, self.rows(task, split))
        for part in source_splits(split):
            size = self._source.rows(task, part)
            inside = max(start, 0), min(stop, size)
            if inside[0] < inside[1]:
                for rows in self._source.read(task, part, wanted, inside):
                    yield [row | {SOURCE_SPLIT: part} for row in rows]
            start, stop = start - size, stop - size

    def _read_part(self, task: str, split: str, columns: Sequence[str], piece: Piece | None) -> Iterator[Rows]:
        start, stop = piece or (0, None)
        numbers = self._numbers(task, split)[start:stop]
        if not numbers:
            return
        wanted, position = set(numbers), numbers[0]
        (own,) = source_splits(split)
        for rows in self._source.read(task, own, columns, (numbers[0], numbers[-1] + 1)):
            yield [row for number, row in enumerate(rows, position) if number in wanted]
            position += len(rows)

    def _numbers(self, task: str, split: str) -> list[int]:
        """The numbers of the part's rows in the source's split: read once, for only the texts say."""
        if (task, split) not in self._parts:
            text, (own,) = get_adapter(task).columns[0], source_splits(split)
            wanted = split.partition("#")[2]
            texts = (row[text] for rows in self._source.read(task, own, [text]) for row in rows)
            self._parts[task, split] = [n for n, value in enumerate(texts) if part_of(str(value or "")) == wanted]
        return self._parts[task, split]


def part_of(text: str) -> str:
    """``train``, ``validation`` or ``test``."""
    tenth = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 10
    return {0: "validation", 1: "test"}.get(tenth, "train")
