"""Tasks of a user's own: what a few lines of YAML say about a file, and the entry beside the catalogue's they make."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from omegaconf import MISSING

from recipe.errors import UserError
from recipe.tasks.origin import licensed
from recipe.tasks.task import ACCURACY, ROUGE, SPAN, Family, Search, Task

# OmegaConf reads these annotations at run time and knows Optional[X], not X | None.
# ruff: noqa: UP045


class UserTaskError(UserError):
    """A user's task that is not described right; the message names the key and the fix."""


@dataclass
class UserTask:
    """One entry of the section ``user_tasks``: a dataset in files of one's own (docs/add_a_task.md)."""

    # classification, commonsense (multiple choice), mrc, summarization, regression or tagging.
    family: str = MISSING
    # Files, relative to the YAML: CSV, TSV, JSONL or Parquet, told by their ending. Only data_prep reads them.
    train: str = MISSING
    # Default: a tenth of `train`, told by a hash of the text (and another tenth is the test split).
    validation: Optional[str] = None
    # Our field -> the file's column, e.g. {text: review, label: stars}. The fields of each family: FIELDS below.
    columns: dict[str, Any] = field(default_factory=dict)
    # Class names (classification, tagging): the column holds a name, or its index from 0.
    labels: list[Any] = field(default_factory=list)
    # The least and the most score (regression).
    score_range: tuple[float, float] = (0.0, 1.0)
    # Whether some contexts hold no answer, `[]` in the column (mrc). False: one is always predicted.
    unanswerable: bool = True
    # How final evaluations search for a summary (summarization): {beams: 8, length_penalty: 0.8, max_length: 256}.
    # max_length also ends the summaries of evaluations during training; convert with as long a --max-target-length.
    search: Search = field(default_factory=lambda: Search(beams=4, no_repeat_ngram=3))  # ours, around BART's
    # Names from recipe/tasks/metrics.py, the primary one first. Default: the family's.
    metrics: list[str] = field(default_factory=list)
    # For the data card.
    licence: str = "not stated"


@dataclass(frozen=True)
class Fields:
    """What a family's examples are made of: the columns that must be named, the main text first, and those that can."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


FIELDS: Mapping[Family, Fields] = {
    Family.CLASSIFICATION: Fields(("text", "label"), ("text_pair",)),
    Family.COMMONSENSE: Fields(("context", "choices", "label")),
    Family.MRC: Fields(("context", "question", "answers")),
    Family.SUMMARIZATION: Fields(("document", "summary")),
    Family.REGRESSION: Fields(("text", "score"), ("text_pair",)),
    Family.TAGGING: Fields(("words", "tags")),
}

_METRICS: Mapping[Family, tuple[str, ...]] = {
    Family.CLASSIFICATION: ACCURACY,
    Family.COMMONSENSE: ACCURACY,
    Family.MRC: SPAN,
    Family.SUMMARIZATION: ROUGE,
    Family.REGRESSION: ("pearson", "spearman"),
    Family.TAGGING: ACCURACY,
}


def build_task(key: str, entry: UserTask) -> Task:
    """The task that an entry of the section describes. Its files are not looked at.

    Raises:
        UserTaskError: The entry is wrong; the message names the key.
    """
    where = f"user_tasks.{key}"
    _check_key(key, where)
    families = {family.value: family for family in FIELDS}
    if entry.family not in families:
        raise UserTaskError(f"{where}.family: {entry.family!r} is no family; {_nearest(entry.family, families)}")
    family = families[entry.family]
    _check_columns(entry.columns, FIELDS[family], where)
    choices = entry.columns.get("choices")
    parted = entry.validation is None
    task = Task(
        key,
        family,
        licensed(entry.licence),
        tuple(entry.metrics) or _METRICS[family],
        labels=_read_labels(entry.labels, family, where),
        choices=len(choices) if isinstance(choices, list) else None,
        train_split="train#train" if parted else "train",
        evaluation_splits=("train#validation" if parted else "validation",),
        test_split="train#test" if parted else None,
        prefinetune=False,
        has_unanswerable=family is Family.MRC and entry.unanswerable,
        score_range=entry.score_range,
        search=_read_search(entry.search, where),
    )
    if entry.metrics:
        _check_metrics(task, where)
    return task


def _check_key(key: str, where: str) -> None:
    """Keys are folders of the store and names of heads."""
    from torch.nn import ModuleDict  # takes a second: only for those who have tasks of their own

    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise UserTaskError(f"{where}: {key!r} is no key for a task; use lower-case letters, digits and underscores")
    if key in {family.value for family in Family} or hasattr(ModuleDict, key):
        raise UserTaskError(f"{where}: {key!r} has a meaning of its own; choose another key, such as my_{key}")


def _check_columns(columns: Mapping[str, Any], fields: Fields, where: str) -> None:
    for name, column in columns.items():
        if name not in fields.names:
            raise UserTaskError(f"{where}.columns: unknown field {name!r}; {_nearest(name, fields.names)}")
        texts = column if name == "choices" and isinstance(column, list) else [column]
        if not all(isinstance(text, str) and text for text in texts):
            raise UserTaskError(f"{where}.columns.{name}: {column!r} is no column's name")
        if isinstance(column, list) and len(column) < 2:
            raise UserTaskError(f"{where}.columns.{name}: name at least two columns, or one that holds a list")
    missing = [name for name in fields.required if name not in columns]
    if missing:
        raise UserTaskError(f"{where}.columns: which column holds {' and '.join(missing)}? (write field: column)")


def _read_labels(labels: list[Any], family: Family, where: str) -> tuple[str, ...]:
    if family not in (Family.CLASSIFICATION, Family.TAGGING):
        if labels:
            raise UserTaskError(f"{where}.labels: {family.value} has no classes; leave it out")
        return ()
    if not all(isinstance(label, str) or type(label) is int for label in labels):
        raise UserTaskError(f"{where}.labels: {labels} are no names; YAML reads yes, no, on and off as booleans: quote")
    names = tuple(map(str, labels))
    if len(set(names)) < len(names):
        raise UserTaskError(f"{where}.labels: a name stands there twice: {', '.join(names)}")
    if len(names) < 2 and family is Family.CLASSIFICATION:
        raise UserTaskError(f"{where}.labels: name at least two classes, in the order of their indices")
    return names


def _read_search(search: Search, where: str) -> Search:
    if search.beams < 1:
        raise UserTaskError(f"{where}.search.beams: {search.beams} is none; 1 is greedy")
    if not 0 <= search.min_length < search.max_length:
        raise UserTaskError(
            f"{where}.search: summaries of {search.min_length} to {search.max_length} tokens cannot be; set min_length "
            "below max_length"
        )
    return search


def _check_metrics(task: Task, where: str) -> None:
    from recipe.tasks.metrics import build_metrics  # takes seconds: only for those who name metrics

    try:
        build_metrics(task)
    except ValueError as error:
        raise UserTaskError(f"{where}.metrics: {error}") from None


def _nearest(name: str, valid: Collection[str]) -> str:
    near = difflib.get_close_matches(str(name), valid, n=1)
    return f"did you mean {near[0]}?" if near else f"valid: {', '.join(valid)}"
