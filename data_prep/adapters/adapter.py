"""What an adapter is, and the readings of raw fields that all families share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data_prep.examples import Example, InvalidData, SpanExample, Unusable, is_labelled
from recipe.tasks import Task

Row = dict[str, Any]  # one raw row in the Hub's schema; a Sequence of structs is a dict of lists

SOURCE_SPLIT = "source_split"  # a column that every source adds on demand: the split that a row stands in
PLACE = "place"  # a column that user's files add on demand: the file and the row in it, for errors
NO_LABEL = "no gold label"
NO_ANSWER = "no gold answer"
EMPTY_TEXT = "empty text"


@dataclass(frozen=True)
class Adapter:
    """How one dataset's raw rows become examples.

    Attributes:
        columns: The raw top-level columns it reads, the main text first; others need not be loaded.
        read: One raw row to one example, whose target may be withheld. Raises :class:`Unusable` for a row that cannot
            become one and :class:`InvalidData` for a row that contradicts the dataset's schema.
        expected: Reasons for which more than 2 % of the rows may be dropped (:mod:`data_prep.drops`), and why they are.
    """

    columns: tuple[str, ...]
    read: Callable[[Row], Example]
    expected: Mapping[str, str] = field(default_factory=dict)

    def convert(self, row: Row) -> Example:
        """As ``read``; a row whose target is withheld is :class:`Unusable`, too: nothing is learned from it."""
        example = self.read(row)
        if not is_labelled(example):
            raise Unusable(NO_ANSWER if isinstance(example, SpanExample) else NO_LABEL)
        return example


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
        Unusable: The label is withheld or missing.
        InvalidData: The label is none of the task's classes.
    """
    return _told(find_class(task, value))


def read_choice(task: Task, value: int | None, choices: int) -> int:
    """The index of the right one of ``choices`` choices; raises as :func:`read_class` does."""
    return _told(find_choice(task, value, choices))


def read_score(task: Task, score: float) -> float:
    """A score within the task's range.

    Raises:
        InvalidData: It is outside, or not a number.
    """
    least, most = task.score_range
    if not least <= score <= most:  # NaN is outside, too
        raise InvalidData(f"task {task.key}: score {score:g} is outside {least:g}..{most:g}, its score_range")
    return score


def find_class(task: Task, value: int | None) -> int | None:
    """As :func:`read_class`; None where the label is withheld (-1: test splits, SNLI's pairs without a majority)."""
    return _find_index(task, value, len(task.labels), ", ".join(task.labels))


def find_choice(task: Task, value: int | None, choices: int) -> int | None:
    """As :func:`read_choice`; None where the label is withheld."""
    return _find_index(task, value, choices, f"{choices} choices")


def _told(label: int | None) -> int:
    if label is None:
        raise Unusable(NO_LABEL)
    return label


def _find_index(task: Task, value: int | None, size: int, meaning: str) -> int | None:
    if value is None or value == -1:
        return None
    if not 0 <= value < size:
        raise InvalidData(f"task {task.key}: label {value} is outside 0..{size - 1} ({meaning})")
    return value
