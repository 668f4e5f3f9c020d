"""Sources say what they have, and what they lack in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.examples import InvalidData
from data_prep.sources import LocalSource, MiniatureSource, SourceError, parse_source, select


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cola").mkdir()
    (tmp_path / "not_a_task").mkdir()
    write(tmp_path / "cola" / "train.parquet", 1200)
    write(tmp_path / "cola" / "validation.parquet", 3)
    return tmp_path


def write(path: Path, rows: int, first: str = "text 0") -> None:
    sentences = [first, *(f"text {i}" for i in range(1, rows))]
    pq.write_table(pa.table({"sentence": sentences, "label": [i % 2 for i in range(rows)]}), path)


def test_a_local_source_lists_the_catalogues_tasks_that_have_files(folder: Path):
    source = LocalSource(str(folder))
    assert source.tasks() == ["cola"]
    assert source.splits("cola") == ["train", "validation"]
    assert source.splits("mnli") == []
    assert source.rows("cola", "train") == 1200


def test_rows_come_in_order_with_the_columns_asked_for(folder: Path):
    batches = list(LocalSource(str(folder)).read("cola", "train", ["sentence"]))
    assert len(batches) > 1
    assert [row for batch in batches for row in batch] == [{"sentence": f"text {i}"} for i in range(1200)]


@pytest.mark.parametrize("group", [1, 100, 700, 5000])
@pytest.mark.parametrize("piece", [(0, 1200), (0, 1), (511, 513), (650, 1100), (1199, 1200)])
def test_a_piece_is_those_rows_however_the_file_is_grouped(tmp_path: Path, group: int, piece: tuple[int, int]):
    (tmp_path / "cola").mkdir()
    table = pa.table({"sentence": [f"text {i}" for i in range(1200)]})
    pq.write_table(table, tmp_path / "cola" / "train.parquet", row_group_size=group)
    batches = LocalSource(str(tmp_path)).read("cola", "train", ["sentence"], piece)
    assert [row["sentence"] for rows in batches for row in rows] == [f"text {i}" for i in range(*piece)]


def test_pieces_cover_a_split_once_and_in_order(folder: Path):
    for source, task in ((LocalSource(str(folder)), "cola"), (MiniatureSource(), "snli")):
        pieces = source.pieces(task, "train")
        assert [pieces[0][0], *(stop for _, stop in pieces)] == [
            *(start for start, _ in pieces),
            source.rows(task, "train"),
        ]
        parts = [row for piece in pieces for rows in source.read(task, "train", [], piece) for row in rows]
        assert len(parts) == source.rows(task, "train")


def test_a_limit_takes_evenly_spaced_rows_of_the_whole_split(folder: Path):
    selection = select(LocalSource(str(folder)), "cola", "train", 5)
    assert (selection.total, selection.rows) == (1200, 5)
    assert [row for row in range(1200) if selection.takes(row)] == [239, 479, 719, 959, 1199]
    assert select(LocalSource(str(folder)), "cola", "train", None).rows == 1200
    assert select(LocalSource(str(folder)), "cola", "validation", 9).rows == 3


def test_a_revision_follows_the_content_and_not_the_place(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    before = LocalSource(str(folder)).revision("cola")
    moved = tmp_path_factory.mktemp("elsewhere") / "raw"
    folder.rename(moved)
    assert LocalSource(str(moved)).revision("cola") == before
    write(moved / "cola" / "train.parquet", 1200, first="another text")
    assert LocalSource(str(moved)).revision("cola") != before


def test_json_lines_are_read_by_piece_and_in_a_collections_folder(tmp_path: Path):
    folder = tmp_path / "collection" / "sciie"
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"text": f"text {i}", "label": ("COMPARE", "USED-FOR")[i % 2], "metadata": []}) for i in range(9)
    ]
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "train.txt").write_text("no rows\n")
    source = LocalSource(str(tmp_path))
    assert (source.tasks(), source.splits("sciie"), source.rows("sciie", "train")) == (["sciie"], ["train"], 9)
    rows = [row for rows in source.read("sciie", "train", ["text", "label"], (3, 5)) for row in rows]
    assert rows == [{"text": "text 3", "label": 6}, {"text": "text 4", "label": 0}]


@pytest.mark.parametrize(
    ("label", "message"), [("USE", "line 2: label 'USE' is none of COMPARE"), (None, "JSONDecode")]
)
def test_json_lines_that_contradict_the_catalogue_are_named(tmp_path: Path, label: str | None, message: str):
    (tmp_path / "sciie").mkdir()
    bad = "{" if label is None else json.dumps({"text": "b", "label": label})
    (tmp_path / "sciie" / "train.jsonl").write_text(f'{{"text": "a", "label": "PART-OF"}}\n{bad}\n')
    with pytest.raises(InvalidData, match=rf"sciie.*train.jsonl.*{message}"):
        LocalSource(str(tmp_path)).rows("sciie", "train")


def test_a_missing_column_names_the_file_the_column_and_what_is_there(folder: Path):
    with pytest.raises(InvalidData, match=r"cola/train.parquet: no column idx \(it has sentence, label\)"):
        list(LocalSource(str(folder)).read("cola", "train", ["sentence", "idx"]))


def test_a_missing_file_names_its_path_and_the_splits_there_are(folder: Path):
    with pytest.raises(SourceError, match=r"cola/test.parquet: no such file \(cola has train, validation\)"):
        LocalSource(str(folder)).rows("cola", "test")


def test_a_file_that_is_not_parquet_is_named(folder: Path):
    (folder / "cola" / "train.parquet").write_text("<html>moved</html>")
    with pytest.raises(InvalidData, match=r"cola/train.parquet: is not a Parquet file"):
        LocalSource(str(folder)).rows("cola", "train")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("local:/no/such/folder", "/no/such/folder: no such folder"),
        ("local:", "expected hub, local:<folder> or miniature"),
        ("hub:elsewhere", "expected hub, local:<folder> or miniature$"),
        ("minature", "did you mean miniature"),
    ],
)
def test_an_unusable_source_is_refused_with_what_to_write(text: str, message: str):
    with pytest.raises(SourceError, match=message):
        parse_source(text)


def test_the_miniature_has_a_train_and_an_evaluation_split_of_every_task_it_lists():
    source = parse_source("miniature")
    assert source.splits("cola") == ["train", "validation"]
    own = ["train", "validation_matched", "validation_mismatched"]
    assert source.splits("mnli") == [*own, "validation_matched+validation_mismatched"]
    for task in source.tasks():
        for split in source.splits(task):
            assert source.rows(task, split) == sum(map(len, source.read(task, split, []))), (task, split)


def test_the_miniatures_revision_is_the_same_in_every_reading():
    assert MiniatureSource().revision("cb") == MiniatureSource().revision("cb") != MiniatureSource().revision("copa")
