"""Regression: a pair of texts and a score."""

from __future__ import annotations

from data_prep.adapters.adapter import AdapterFor, Row, adapter_of, read_score, read_text
from data_prep.examples import RegressionExample
from recipe.tasks import Task


def _stsb(task: Task, row: Row) -> RegressionExample:
    """Scores are floats; -1 is a withheld one."""
    value = row["label"]
    score = None if value is None or value == -1 else read_score(task, value)
    return RegressionExample(read_text(row["sentence1"]), score, read_text(row["sentence2"]))


TABLE: dict[str, AdapterFor] = {"stsb": adapter_of(("sentence1", "sentence2", "label"), _stsb)}
