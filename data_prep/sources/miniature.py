"""The miniature as a source: generated in place, so that everything runs offline."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache

import pyarrow as pa

from data_prep.sources.source import BATCH_ROWS, Piece, Rows, check_columns, even_pieces
from recipe.tasks import CATALOGUE, get_task, source_splits


class MiniatureSource:
    """Small generated datasets in the real ones' columns: everything runs offline."""

    name = "miniature"

    def tasks(self) -> list[str]:
        from data_prep.miniature import MINIATURES

        return [key for key in CATALOGUE if key in MINIATURES]

    def splits(self, task: str) -> list[str]:
        entry = get_task(task)
        names = (*entry.names_of("train"), *entry.names_of("validation")[:1])
        return list(dict.fromkeys(own for name in names for own in source_splits(name)))

    def revision(self, task: str) -> str:
        digest = hashlib.sha256()
        for split in self.splits(task):
            for batch in _miniature(task, split).to_batches():
                digest.update(repr(batch.to_pydict()).encode())
        return digest.hexdigest()

    def rows(self, task: str, split: str) -> int:
        return _miniature(task, split).num_rows

    def streamed(self, task: str) -> bool:
        return False

    def pieces(self, task: str, split: str, most: int | None = None) -> list[Piece]:
        return even_pieces(self.rows(task, split), most)

    def read(self, task: str, split: str, columns: Sequence[str], piece: Piece | None = None) -> Iterator[Rows]:
        table = _miniature(task, split)
        check_columns(f"miniature {task}/{split}", columns, table.column_names)
        start, stop = piece or (0, table.num_rows)
        for batch in table.select(list(columns)).slice(start, stop - start).to_batches(max_chunksize=BATCH_ROWS):
            yield batch.to_pylist()


@cache
def _miniature(task: str, split: str) -> pa.Table:
    from data_prep.miniature import generate

    return generate(task, split)
