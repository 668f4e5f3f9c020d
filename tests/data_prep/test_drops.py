"""Losing more than 2 % of the rows for a reason that nobody knows fails the conversion."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import __main__ as cli


def convert(folder: Path, tokenizer: str, task: str, usable: int, empty: int = 0, hidden: int = 0) -> int:
    """Rows of a pair task: without a second text, without a label, and usable ones."""
    labels = [0] * (usable + empty) + [-1] * hidden
    texts = ["some words"] * usable + [" "] * empty + ["some words"] * hidden
    raw = folder / "raw" / task
    raw.mkdir(parents=True)
    table = pa.table({"premise": ["a premise"] * len(labels), "hypothesis": texts, "label": labels})
    pq.write_table(table, raw / "train.parquet")
    command = [str(folder / "store"), "--source", f"local:{folder / 'raw'}", "--tokenizer", tokenizer]
    return cli.main([*command, "--tasks", task, "--splits", "train", "--workers", "1"])


def test_more_than_two_percent_is_an_error_that_names_the_reasons_and_leaves_nothing(
    tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(tmp_path, tiny_tokenizer_folder, "cb", usable=194, empty=4, hidden=2) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "cb/train: 6 of 200 rows were dropped (3.0%, at most 2% may be)" in error
    assert "(empty text: 4, no gold label: 2)" in error
    assert not list((tmp_path / "store").glob("*/cb/train*"))


def test_two_percent_is_allowed_and_counted(tmp_path: Path, tiny_tokenizer_folder: str) -> None:
    assert convert(tmp_path, tiny_tokenizer_folder, "cb", usable=196, empty=4) == 0


def test_of_a_few_rows_any_share_may_go(tmp_path: Path, tiny_tokenizer_folder: str) -> None:
    assert convert(tmp_path, tiny_tokenizer_folder, "cb", usable=40, empty=9) == 0


def test_an_expected_reason_may_take_any_share_and_excuses_no_other(
    tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(tmp_path / "fine", tiny_tokenizer_folder, "snli", usable=150, empty=4, hidden=50) == 0
    assert convert(tmp_path / "not", tiny_tokenizer_folder, "snli", usable=150, empty=5, hidden=50) == 2
    assert "snli/train: 5 of 205 rows were dropped" in capsys.readouterr().err
