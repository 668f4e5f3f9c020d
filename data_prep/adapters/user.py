"""A user's own tasks: one adapter a family, whose columns are our fields (:data:`recipe.tasks.user.FIELDS`).

A row has the optional fields only where the task's YAML maps them to a column. CSV has nothing but texts, so numbers
and lists may come as texts, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from data_prep.adapters import mrc
from data_prep.adapters.adapter import (
    NO_LABEL,
    PLACE,
    AdapterFor,
    Row,
    adapter_of,
    read_choice,
    read_class,
    read_score,
    read_text,
)
from data_prep.adapters.tagging import EMPTY_SENTENCE
from data_prep.examples import (
    ChoiceExample,
    ClassificationExample,
    Example,
    InvalidData,
    RegressionExample,
    SpanExample,
    SummaryExample,
    TaggingExample,
    Unusable,
)
from recipe.tasks import Family, Task
from recipe.tasks.user import FIELDS

_INTEGER = re.compile(r"-?\d+")


def read_label(task: Task, value: Any) -> int:
    """The class that a name or an index means; where names are numbers (stars 1 to 5), only names count.

    Raises:
        Unusable: There is no label, or the index is -1.
        InvalidData: It is neither.
    """
    text = "" if value is None else str(value).strip()
    if not text:
        raise Unusable(NO_LABEL)
    if text in task.labels:
        return task.labels.index(text)
    named_by_numbers = any(_INTEGER.fullmatch(label) for label in task.labels)
    if not _INTEGER.fullmatch(text) or named_by_numbers:
        raise InvalidData(f"label {text!r} is none of {', '.join(task.labels)}")
    return read_class(task, int(text))


def _text(row: Row, name: str) -> str:
    value = row[name]
    if not isinstance(value, str | None):
        raise InvalidData(f"{name} is {value!r}, expected a text")
    return read_text(value)


def _second_text(row: Row) -> str | None:
    return _text(row, "text_pair") if "text_pair" in row else None


def _items(row: Row, name: str) -> list[Any]:
    """A list, or a text of items with white space between."""
    value = row[name] or []
    if not isinstance(value, str | list):
        raise InvalidData(f"{name} is {value!r}, expected a list, or a text with white space between its items")
    return value.split() if isinstance(value, str) else value


def _classification(task: Task, row: Row) -> ClassificationExample:
    return ClassificationExample(_text(row, "text"), read_label(task, row["label"]), _second_text(row))


def _commonsense(task: Task, row: Row) -> ChoiceExample:
    choices = row["choices"]
    if not isinstance(choices, list) or not all(isinstance(choice, str | None) for choice in choices):
        raise InvalidData(
            f"choices is {choices!r}, expected a list of texts: name a column for each, or one with lists"
        )
    label = "" if row["label"] is None else str(row["label"]).strip()
    if not label:
        raise Unusable(NO_LABEL)
    if not _INTEGER.fullmatch(label):
        raise InvalidData(f"label {label!r} is no index of a choice, from 0")
    texts = tuple(map(read_text, choices))
    return ChoiceExample(_text(row, "context"), texts, read_choice(task, int(label), len(texts)))


def _mrc(task: Task, row: Row) -> Example:
    """Answers are a text, a list of texts, or as SQuAD has them; an empty list says that the context has none."""
    answers = row["answers"]
    if isinstance(answers, dict) and answers.get("text") and "answer_start" in answers:
        return mrc.TABLE["squad"](task).convert(row)
    if isinstance(answers, dict):
        answers = answers.get("text", answers)
    if not answers and not (task.has_unanswerable and isinstance(answers, list)):
        raise Unusable(mrc.NO_ANSWER)
    texts = [answers] if isinstance(answers, str) else answers
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidData(f"answers is {answers!r}, expected a text, a list of texts, or SQuAD's text and answer_start")
    texts = list(dict.fromkeys(text.strip() for text in texts))
    context = _text(row, "context")
    spans = mrc.find_spans(context, texts)
    if texts and not spans:
        raise Unusable(mrc.NOT_FOUND)
    return SpanExample(_text(row, "question"), context, tuple(spans), tuple(texts))


def _summarization(task: Task, row: Row) -> SummaryExample:
    return SummaryExample(_text(row, "document"), _text(row, "summary"))


def _regression(task: Task, row: Row) -> RegressionExample:
    value = row["score"]
    if value is None or value == "":
        raise Unusable(NO_LABEL)
    try:
        score = float(value)
    except (TypeError, ValueError):
        raise InvalidData(f"score {value!r} is no number") from None
    return RegressionExample(_text(row, "text"), read_score(task, score), _second_text(row))


def _tagging(task: Task, row: Row) -> TaggingExample:
    words, tags = (_items(row, name) for name in ("words", "tags"))
    if not words:
        raise Unusable(EMPTY_SENTENCE)
    if len(words) != len(tags) or not all(isinstance(word, str) and word for word in words):
        raise InvalidData(f"{len(words)} words but {len(tags)} tags: expected a text and a tag for each")
    names = (task.labels[read_label(task, tag)] if task.labels else str(tag) for tag in tags)
    return TaggingExample(tuple(words), tuple(names))


def _placed(convert: Callable[[Task, Row], Example]) -> Callable[[Task, Row], Example]:
    """The conversion, whose errors say which row of which file is at fault."""

    def convert_placed(task: Task, row: Row) -> Example:
        try:
            return convert(task, row)
        except InvalidData as error:
            raise InvalidData(f"{row[PLACE]}: {error}") from error

    return convert_placed


_CONVERT: Mapping[Family, Callable[[Task, Row], Example]] = {
    Family.CLASSIFICATION: _classification,
    Family.COMMONSENSE: _commonsense,
    Family.MRC: _mrc,
    Family.SUMMARIZATION: _summarization,
    Family.REGRESSION: _regression,
    Family.TAGGING: _tagging,
}

ADAPTERS: Mapping[Family, AdapterFor] = {
    family: adapter_of((*FIELDS[family].names, PLACE), _placed(convert)) for family, convert in _CONVERT.items()
}
