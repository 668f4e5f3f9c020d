"""An example: one datapoint after its adapter, plain text fields and a target, before tokenising.

In a test split the target (label, score, answers) may be withheld: then it is None. ``index`` is the example's number
on the benchmark's leaderboard, None where it is not for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recipe.errors import UserError


class Unusable(Exception):
    """A raw row that cannot become an example; the message is the reason that the summary counts (keep it constant)."""


class InvalidData(UserError):
    """Raw data that contradicts the dataset's schema: the conversion must stop, not count it."""


@dataclass(frozen=True, slots=True)
class ClassificationExample:
    """A text or a pair of texts, and a class in the Hub's integer order.

    ``group`` names what evaluation groups by (MultiRC's question); empty where there is nothing to group.
    """

    text: str
    label: int | None
    second_text: str | None = None
    group: str = ""
    index: Any = None


@dataclass(frozen=True, slots=True)
class ChoiceExample:
    """A context and its possible continuations or answers; ``label`` is the index of the right one.

    Each choice becomes one row ``(context, choice)``. Only the context is ever shortened: a question that must stay
    whole goes in front of every choice.
    """

    context: str
    choices: tuple[str, ...]
    label: int | None
    index: Any = None


@dataclass(frozen=True, slots=True)
class SpanExample:
    """A question, a context, and where in the context the answer stands.

    Attributes:
        question: First segment of every window, never cut by the windows.
        context: Second segment; long ones become several windows.
        spans: Character spans ``[start, end)`` of the context that are right answers; the first is learned.
            Empty where the context does not hold the answer: then the answer is the first token.
        answers: The right answers as text, what evaluation compares with.
    """

    question: str
    context: str
    spans: tuple[tuple[int, int], ...]
    answers: tuple[str, ...] | None
    index: Any = None


@dataclass(frozen=True, slots=True)
class SummaryExample:
    """A document and its summary."""

    document: str
    summary: str


@dataclass(frozen=True, slots=True)
class RegressionExample:
    """A text or a pair of texts, and a score."""

    text: str
    score: float | None
    second_text: str | None = None
    index: Any = None


@dataclass(frozen=True, slots=True)
class TaggingExample:
    """W words and a tag for each, by name.

    ``tree`` is the bracketed tree that parsing's tags stand for, what evaluation compares with; empty for other tasks.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    tree: str = ""


@dataclass(frozen=True, slots=True)
class TextExample:
    """A text to mask."""

    text: str


Example = (
    ClassificationExample
    | ChoiceExample
    | SpanExample
    | SummaryExample
    | RegressionExample
    | TaggingExample
    | TextExample
)


def is_labelled(example: Example) -> bool:
    """Whether the dataset tells the example's target."""
    match example:
        case ClassificationExample() | ChoiceExample():
            return example.label is not None
        case SpanExample():
            return example.answers is not None
        case RegressionExample():
            return example.score is not None
        case _:
            return True
