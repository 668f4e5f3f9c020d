"""A reader of the summary learns where data differs from what the catalogue knows."""

from __future__ import annotations

import pytest

from data_prep.notes import count_warning, place_warning
from recipe.tasks.catalogue import get_task
from recipe.tasks.origin import CONVERTED


@pytest.mark.parametrize(
    ("task", "split", "rows", "warning"),
    [
        ("cola", "train", 8_551, None),
        ("cola", "train", 8_550, "warning: train has 8,550 rows where 8,551 are known"),
        ("anli", "train_r1+train_r2+train_r3", 16_946 + 45_460 + 100_459, None),
        ("anli", "dev_r1+dev_r2+dev_r3", 3_200, None),
        ("anli", "dev_r1+dev_r2", 3, "warning: dev_r1+dev_r2 has 3 rows where 2,000 are known"),
        ("reddit_tifu", "train#validation", 4_213, None),
        ("cola", "another", 1, None),
    ],
)
def test_another_number_of_rows_than_the_published_is_said(task: str, split: str, rows: int, warning: str | None):
    assert count_warning(task, split, rows) == warning


def test_another_place_or_commit_than_the_first_choice_is_said():
    pin = get_task("snli").origin.places[0].revision
    assert place_warning("snli", f"stanfordnlp/snli@{pin}") is None
    assert place_warning("cola", "nyu-mll/glue@0123") is None
    assert place_warning("snli", "stanfordnlp/snli@0123") == f"warning: the pinned commit {pin} is gone, read 0123"
    moved = place_warning("math_qa", "regisss/math_qa@0123")
    assert moved == f"warning: read from regisss/math_qa instead of allenai/math_qa/{CONVERTED}"
