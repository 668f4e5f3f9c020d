"""Regression: a pair of texts and a score."""

from __future__ import annotations

from data_prep.adapters.adapter import NO_LABEL, AdapterFor, Row, adapter_of, read_score, read_text
from data_prep.examples import RegressionExample, Unusable
from recipe.tasks import Task


def _stsb(task: Task, row: Row) -> RegressionExample:
    """Scores are floats; -1 is a hidden one."""
    score = row["label"]
    if score is None or score == -1:
        raise Unusable(NO_LABEL)
    return RegressionExample(read_text(row["sentence1"]), read_score(task, score), read_text(row["sentence2"]))


TABLE: dict[str, AdapterFor] = {"stsb": adapter_of(("sentence1", "sentence2", "label"), _stsb)}
