"""Every raw row becomes an example, or is counted, or stops the conversion with a message that names the task."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_prep.adapters import ADAPTERS, SOURCE_SPLIT, NoAdapter, get_adapter
from data_prep.examples import (
    ChoiceExample,
    ClassificationExample,
    InvalidData,
    RegressionExample,
    SpanExample,
    SummaryExample,
    TaggingExample,
    Unusable,
)
from data_prep.sources import parse_source
from recipe.tasks import CATALOGUE, Family, get_task, source_splits

DATA = Path(os.environ.get("PREFINETUNE_DATA") or Path(__file__).parents[3] / "shared/data")
KEYS = tuple(ADAPTERS)
EXAMPLE_TYPES = {
    Family.CLASSIFICATION: ClassificationExample,
    Family.COMMONSENSE: ChoiceExample,
    Family.MRC: SpanExample,
    Family.SUMMARIZATION: SummaryExample,
    Family.REGRESSION: RegressionExample,
    Family.TAGGING: TaggingExample,
}


def rows(key: str, count: int = 60) -> list[dict[str, Any]]:
    """Raw rows as a conversion reads them, those of a split that is joined of several included."""
    source, split = parse_source("miniature"), get_task(key).train_split
    return [row for part in source.read(key, split, get_adapter(key).columns, (0, count)) for row in part]


def usable_row(key: str) -> dict[str, Any]:
    for row in rows(key):
        try:
            get_adapter(key).convert(row)
        except Unusable:
            continue
        return row
    raise AssertionError(f"no usable row of {key}")


def convert_all(key: str, raw: list[dict[str, Any]]) -> tuple[list[Any], Counter[str]]:
    examples, dropped = [], Counter()
    for row in raw:
        try:
            examples.append(get_adapter(key).convert(row))
        except Unusable as reason:
            dropped[str(reason)] += 1
    return examples, dropped


def check(key: str, example: Any) -> None:
    """What every example of a family promises."""
    task = get_task(key)
    assert type(example) is EXAMPLE_TYPES[task.family]
    if isinstance(example, ClassificationExample):
        assert example.label is not None and 0 <= example.label < len(task.labels)
        assert example.text and example.second_text != ""
    elif isinstance(example, ChoiceExample):
        assert example.label is not None and 0 <= example.label < len(example.choices)
        assert example.context and all(example.choices)
        assert task.choices in (None, len(example.choices))
    elif isinstance(example, SpanExample):
        answers = {answer.strip().lower() for answer in example.answers or ()}
        assert example.question and bool(example.spans) >= (not task.has_unanswerable)
        assert bool(example.spans) == bool(example.answers)
        assert all(0 <= start < end <= len(example.context) for start, end in example.spans)
        assert {example.context[start:end].strip().lower() for start, end in example.spans} <= answers
    elif isinstance(example, RegressionExample):
        assert example.text and example.second_text and example.score is not None and 0 <= example.score <= 5
    elif isinstance(example, TaggingExample):
        assert len(example.words) == len(example.tags) and all(example.words)
        assert task.has_open_labels or set(example.tags) <= set(task.labels)
    else:
        assert example.document and example.summary


def check_drops(key: str, dropped: Counter[str], read: int) -> None:
    """Only what the adapter expects is dropped more than now and then."""
    unexpected = sum(count for reason, count in dropped.items() if reason not in get_adapter(key).expected)
    assert unexpected <= max(1, 0.02 * read), dropped


def test_every_task_has_an_adapter() -> None:
    assert set(ADAPTERS) == set(CATALOGUE)


def test_a_task_without_an_adapter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ADAPTERS, "stsb")
    with pytest.raises(NoAdapter, match=r"'stsb' has no adapter.*cola"):
        get_adapter("stsb")


@pytest.mark.parametrize("key", KEYS)
def test_raw_rows_become_examples_of_the_task_s_family(key: str) -> None:
    raw = rows(key)
    examples, dropped = convert_all(key, raw)
    check_drops(key, dropped, len(raw))
    for example in examples:
        check(key, example)


@pytest.mark.parametrize("key", KEYS)
def test_an_adapter_reads_only_the_columns_it_names(key: str) -> None:
    adapter, row = get_adapter(key), usable_row(key)
    assert adapter.convert({column: row[column] for column in adapter.columns}) == adapter.convert(row)


LABELLED = [(k, c) for k in KEYS for c in ("label", "coarse_label") if c in ADAPTERS[k].columns]


@pytest.mark.parametrize(("key", "column"), LABELLED)
def test_a_hidden_label_makes_a_row_unusable(key: str, column: str) -> None:
    row = usable_row(key)
    hidden = "" if isinstance(row[column], str) else -1
    with pytest.raises(Unusable, match="no gold label"):
        get_adapter(key).convert(row | {column: hidden})


@pytest.mark.parametrize(("key", "column"), LABELLED)
def test_a_label_outside_the_label_space_stops_the_conversion(key: str, column: str) -> None:
    row = usable_row(key)
    with pytest.raises(InvalidData, match=rf"task {key}: (label|score) 77 is outside 0\.\.\d"):
        get_adapter(key).convert(row | {column: type(row[column])(77)})


@pytest.mark.parametrize(
    ("key", "column", "hidden"),
    [("arc_easy", "answerKey", ""), ("race", "answer", ""), ("math_qa", "correct", ""), ("scitail", "gold_label", "-")],
)
def test_labels_that_are_names_are_checked_too(key: str, column: str, hidden: str) -> None:
    row = usable_row(key)
    with pytest.raises(Unusable, match="no gold label"):
        get_adapter(key).convert(row | {column: hidden})
    with pytest.raises(InvalidData, match=f"task {key}: .*'Z'"):
        get_adapter(key).convert(row | {column: "Z"})


OPTIONAL_TEXTS = {("sciq", "support"), ("swag", "sent2")}


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("natural_questions", "conll2000_chunking")])
def test_rows_without_a_text_never_become_examples(key: str) -> None:
    row = usable_row(key)
    texts = [
        c
        for c in ADAPTERS[key].columns
        if isinstance(row[c], str) and c != SOURCE_SPLIT and (key, c) not in OPTIONAL_TEXTS
    ]
    assert texts
    for column in texts:
        with pytest.raises((Unusable, InvalidData)):
            get_adapter(key).convert(row | {column: "  "})


@pytest.mark.parametrize("key", KEYS)
def test_real_files_convert_but_for_documented_drops(key: str) -> None:
    splits = dict.fromkeys(own for split in ("train", *get_task(key).evaluation_splits) for own in source_splits(split))
    paths = [DATA / key / f"{split}.parquet" for split in splits]
    found = [path for path in paths if path.exists()]
    if not found:
        pytest.skip(f"no Parquet files of {key} under {DATA} (set PREFINETUNE_DATA)")
    for path in found:
        columns = [column for column in get_adapter(key).columns if column != SOURCE_SPLIT]
        raw = [row | {SOURCE_SPLIT: path.stem} for row in pq.read_table(path, columns=columns).to_pylist()]
        examples, dropped = convert_all(key, raw)
        check_drops(key, dropped, len(raw))
        for example in examples:
            check(key, example)
