"""Regression: a pair of texts and a score."""

from __future__ import annotations

from data_prep.adapters.adapter import AdapterFor, Row, adapter_of, read_text
from data_prep.examples import InvalidData, RegressionExample
from recipe.tasks import Task


def _stsb(task: Task, row: Row) -> RegressionExample:
    """Scores are floats; -1 is a withheld one."""
    score, (least, most) = row["label"], task.score_range
    if score == -1:
        score = None
    if score is not None and not least <= score <= most:  # NaN is outside, too
        raise InvalidData(f"task {task.key}: label {score:g} is outside {least:g}..{most:g}")
    return RegressionExample(read_text(row["sentence1"]), score, read_text(row["sentence2"]))


TABLE: dict[str, AdapterFor] = {"stsb": adapter_of(("sentence1", "sentence2", "label"), _stsb)}
