"""What an adapter is, and the readings of raw fields that all families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_prep.examples import Example, InvalidData, Unusable
from recipe.tasks import Task

Row = dict[str, Any]  # one raw row in the Hub's schema; a Sequence of structs is a dict of lists

SOURCE_SPLIT = "source_split"  # a column that every source adds on demand: the split that a row stands in
PLACE = "place"  # a column that user's files add on demand: the file and the row in it, for errors
NO_LABEL = "no gold label"
EMPTY_TEXT = "empty text"


@dataclass(frozen=True)
class Adapter:
    """How one dataset's raw rows become examples.

    Attributes:
        columns: The raw top-level columns it reads, the main text first; others need not be loaded.
        convert: One raw row to one example. Raises :class:`Unusable` for a row that cannot become one and
            :class:`InvalidData` for a row that contradicts the dataset's schema.
        expected: Reasons for which more than 2 % of the rows may be dropped (:mod:`data_prep.drops`), and why they are.
    """

    columns: tuple[str, ...]
    convert: Callable[[Row], Example]
    expected: Mapping[str, str] = field(default_factory=dict)


AdapterFor = Callable[[Task], Adapter]  # the families' tables hold these; the package binds them to the catalogue


def adapter_of(
    columns: tuple[str, ...], convert: Callable[[Task, Row], Example], expected: Mapping[str, str] | None = None
) -> AdapterFor:
    """An adapter whose conversion also needs to know its task."""
    return lambda task: Adapter(columns, lambda row: convert(task, row), expected or {})


def read_text(value: str | None) -> str:
    """The text without surrounding white space.

    Raises:
        Unusable: There is no text.
    """
    text = (value or "").strip()
    if not text:
        raise Unusable(EMPTY_TEXT)
    return text


def read_class(task: Task, value: int | None) -> int:
    """A class label that is one of the task's.

    Raises:
        Unusable: The label is hidden or missing (-1: test splits, SNLI's pairs without a majority).
        InvalidData: The label is none of the task's classes.
    """
    return _read_index(task, value, len(task.labels), ", ".join(task.labels))


def read_choice(task: Task, value: int | None, choices: int) -> int:
    """The index of the right one of ``choices`` choices; raises as :func:`read_class` does."""
    return _read_index(task, value, choices, f"{choices} choices")


def read_score(task: Task, score: float) -> float:
    """A score within the task's range.

    Raises:
        InvalidData: It is outside, or not a number.
    """
    least, most = task.score_range
    if not least <= score <= most:  # NaN is outside, too
        raise InvalidData(f"task {task.key}: score {score:g} is outside {least:g}..{most:g}, its score_range")
    return score


def _read_index(task: Task, value: int | None, size: int, meaning: str) -> int:
    if value is None or value == -1:
        raise Unusable(NO_LABEL)
    if not 0 <= value < size:
        raise InvalidData(f"task {task.key}: label {value} is outside 0..{size - 1} ({meaning})")
    return value
