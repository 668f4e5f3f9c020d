"""Splits that the Hub does not have are the same rows for everybody, each once."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.adapters import SOURCE_SPLIT
from data_prep.sources import Source, parse_source
from data_prep.sources.derived import part_of

TEXTS = [f"text {number}" for number in range(3000)]
PARTS = ("train#train", "train#validation", "train#test")


def write(folder: Path, task: str, split: str, texts: list[str | None], column: str) -> None:
    (folder / task).mkdir(exist_ok=True)
    pq.write_table(pa.table({column: pa.array(texts, pa.string())}), folder / task / f"{split}.parquet")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    write(tmp_path, "reddit_tifu", "train", list(TEXTS), "documents")
    for split, count in (("train_r1", 700), ("train_r2", 1), ("train_r3", 900), ("dev_r1", 5)):
        write(tmp_path, "anli", split, [f"{split} {number}" for number in range(count)], "premise")
    return parse_source(f"local:{tmp_path}")


def read(source: Source, task: str, split: str, *columns: str, piece: Any = None) -> list[dict[str, Any]]:
    return [row for rows in source.read(task, split, columns, piece) for row in rows]


def test_only_what_the_own_splits_make_up_is_there(source: Source) -> None:
    assert source.splits("reddit_tifu") == ["train", "train#train", "train#validation", "train#test"]
    assert "train_r1+train_r2+train_r3" in source.splits("anli")
    assert "dev_r1+dev_r2+dev_r3" not in source.splits("anli")


def test_the_parts_of_a_split_are_all_its_rows_in_order_each_once(source: Source) -> None:
    parts = {part: [row["documents"] for row in read(source, "reddit_tifu", part, "documents")] for part in PARTS}
    assert sorted(text for texts in parts.values() for text in texts) == sorted(TEXTS)
    for part, share in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
        assert parts[part] == sorted(parts[part], key=TEXTS.index)
        assert len(parts[part]) == source.rows("reddit_tifu", part)
        assert abs(len(parts[part]) / len(TEXTS) - share) < 0.03


def test_the_text_alone_decides_the_part(source: Source, tmp_path: Path) -> None:
    before = {row["documents"] for row in read(source, "reddit_tifu", "train#validation", "documents")}
    write(tmp_path, "reddit_tifu", "train", [*reversed(TEXTS), *TEXTS[:100], None], "documents")
    after = parse_source(f"local:{tmp_path}")
    assert {row["documents"] for row in read(after, "reddit_tifu", "train#validation", "documents")} == before
    assert [part_of(text) for text in ("b", "a", "q")] == ["train", "validation", "test"]  # fixed for ever


def test_joined_splits_are_the_rows_of_each_with_its_name(source: Source) -> None:
    rows = read(source, "anli", "train_r1+train_r2+train_r3", "premise", SOURCE_SPLIT)
    assert len(rows) == source.rows("anli", "train_r1+train_r2+train_r3") == 1601
    assert all(row["premise"].startswith(row[SOURCE_SPLIT] + " ") for row in rows)
    assert list(dict.fromkeys(row[SOURCE_SPLIT] for row in rows)) == ["train_r1", "train_r2", "train_r3"]


@pytest.mark.parametrize(
    ("task", "split", "column"),
    [("anli", "train_r1+train_r2+train_r3", "premise"), ("reddit_tifu", "train#train", "documents")],
)
def test_pieces_are_the_split_whatever_their_bounds(source: Source, task: str, split: str, column: str) -> None:
    whole = read(source, task, split, column)
    for cuts in ([0, len(whole)], [0, 1, 699, 700, 701, 702, 1000, len(whole)]):
        assert [row for piece in pairwise(cuts) for row in read(source, task, split, column, piece=piece)] == whole
    pieces = source.pieces(task, split)
    assert [row for piece in pieces for row in read(source, task, split, column, piece=piece)] == whole
