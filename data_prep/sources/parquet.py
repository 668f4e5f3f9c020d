"""Reading rows of a Parquet file by range, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.examples import InvalidData
from data_prep.sources.source import BATCH_ROWS

_BATCH_BYTES = 32 << 20  # of a batch of rows, decompressed
_BUFFER = 8 << 20  # bytes of a column that are read at a time: its chunks can be hundreds of megabytes


def open_parquet(file: Any, where: str) -> pq.ParquetFile:
    """Open a path or a file object.

    Raises:
        InvalidData: It is not a Parquet file; the message says ``where``.
    """
    try:
        return pq.ParquetFile(file, buffer_size=_BUFFER)
    except pa.ArrowInvalid as error:
        raise InvalidData(f"{where}: is not a Parquet file ({error}); fetch or write it again") from error


def group_rows(file: pq.ParquetFile) -> list[int]:
    """The number of rows of each row group."""
    return [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]


def leaves(file: pq.ParquetFile, columns: Sequence[str], unread: Sequence[str] = ()) -> list[str]:
    """The paths of all primitive columns inside ``columns``, without those inside ``unread`` (dotted)."""
    paths = [file.schema.column(index).path for index in range(len(file.schema.names))]
    skipped = tuple(f"{name}." for name in unread)
    return [path for path in paths if path.split(".")[0] in columns and not f"{path}.".startswith(skipped)]


def read_range(
    file: pq.ParquetFile, columns: Sequence[str], start: int, stop: int, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Rows ``[start, stop)``, at most ``batch_rows`` at a time; one row group is in memory at a time."""
    sizes = group_rows(file)
    for index, end in enumerate(accumulate(sizes)):
        position = end - sizes[index]
        if end <= start or position >= stop:
            continue
        options: dict[str, Any] = {"row_groups": [index], "columns": list(columns), "use_threads": False}
        for batch in file.iter_batches(batch_rows, **options):
            inside = batch.slice(max(0, start - position), max(0, stop - max(start, position)))
            position += batch.num_rows
            if inside.num_rows:
                yield inside
            if position >= stop:
                return


def batch_rows(file: pq.ParquetFile) -> int:
    """How many rows to read at once: fewer than :data:`BATCH_ROWS` where rows are whole books."""
    groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
    row_bytes = sum(group.total_byte_size for group in groups) // max(1, file.metadata.num_rows)
    return max(1, min(BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))
