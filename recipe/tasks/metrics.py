"""How predictions are scored: torchmetrics classes, all with ``update(predictions: list, references: list)``.

========================  =======================  =======================================================
family                    prediction               reference
========================  =======================  =======================================================
classification            class (int)              class (int); of a grouped task (class, group), group a str
commonsense               choice (int)             choice (int)
mrc                       answer (str)             every acceptable answer (list of str)
summarization             summary (str)            summary (str)
regression                score (float)            score (float)
tagging                   tag of each word (list)  tag of each word (list of str); of parsing a bracketed tree (str)
masked_lm                 masked tokens (list)     what they were (list of int)
========================  =======================  =======================================================

Scores are fractions: [0, 1], correlations [-1, 1]. Every state is summed or joined over ranks, so a score does not
depend on how the examples were spread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from recipe.tasks.answers import exact_match, token_f1
from recipe.tasks.catalogue import Family, Task
from recipe.tasks.rouge import ROUGE, rouge_scores
from recipe.tasks.scores import (
    Overlap,
    accuracy,
    all_right,
    bracket_overlap,
    chunk_overlap,
    macro_f1,
    matthews,
    overlap_f1,
    pearson,
    positive_f1,
    spearman,
    tag_overlap,
)


class ClassScore(Metric):
    """``score`` of the confusion matrix of ``classes`` classes; NaN if it has seen none.

    Args:
        score: Of a confusion matrix.
        classes: C.
        of: What a reference says: its class, or None to leave the example out.

    Raises:
        ValueError: By ``update``, for a class outside [0, classes).
    """

    confusion: Tensor

    def __init__(self, score: Callable[[Tensor], Tensor], classes: int, of: Callable[[Any], int | None]) -> None:
        super().__init__()
        self.score = score
        self.classes = classes
        self.of = of
        self.add_state("confusion", torch.zeros(classes, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[int], references: Sequence[Any]) -> None:
        _check_lengths(predictions, references)
        labels = [(self.of(reference), predicted) for reference, predicted in zip(references, predictions, strict=True)]
        pairs = torch.tensor([pair for pair in labels if pair[0] is not None], dtype=torch.int64).view(-1, 2).T
        wrong = pairs[(pairs < 0) | (pairs >= self.classes)]
        if len(wrong):
            raise ValueError(f"class {int(wrong[0])} is not one of the task's {self.classes} classes")
        counts = torch.bincount(pairs[0] * self.classes + pairs[1], minlength=self.classes**2)
        self.confusion += counts.view(self.classes, self.classes).to(self.device)

    def compute(self) -> Tensor:
        return self.score(self.confusion.to(torch.float64))


class MeanScore(Metric):
    """The mean over examples of ``score(prediction, reference)``; NaN if it has seen none."""

    total: Tensor
    count: Tensor

    def __init__(self, score: Callable[[Any, Any], float]) -> None:
        super().__init__()
        self.score = score
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Any], references: Sequence[Any]) -> None:
        _check_lengths(predictions, references)
        self.total += sum(map(self.score, predictions, references))
        self.count += len(predictions)

    def compute(self) -> Tensor:
        return self.total / self.count


class PooledScore(Metric):
    """``score`` of the rows (N, 2) of all examples.

    Args:
        score: Of float64 rows.
        row: Two numbers of a prediction and its reference.
    """

    rows: list[Tensor]

    def __init__(self, score: Callable[[Tensor], Tensor], row: Callable[[Any, Any], tuple[float, float]]) -> None:
        super().__init__()
        self.score = score
        self.row = row
        self.add_state("rows", [], dist_reduce_fx="cat")
        self.rows.append(self._no_rows())

    def reset(self) -> None:
        super().reset()
        self.rows.append(self._no_rows())

    def update(self, predictions: Sequence[Any], references: Sequence[Any]) -> None:
        _check_lengths(predictions, references)
        rows = list(map(self.row, predictions, references))
        self.rows.append(torch.tensor(rows, dtype=torch.float64, device=self.device).view(-1, 2))

    def compute(self) -> Tensor:
        return self.score(dim_zero_cat(self.rows))

    def _no_rows(self) -> Tensor:
        """What a rank without examples gathers: of the others' type and width."""
        return torch.zeros(0, 2, dtype=torch.float64, device=self.device)


class OverlapF1(Metric):
    """F1 of the items of all examples together; ``overlap`` counts those of one example."""

    counts: Tensor

    def __init__(self, overlap: Callable[[Any, Any], Overlap]) -> None:
        super().__init__()
        self.overlap = overlap
        self.add_state("counts", torch.zeros(3, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Any], references: Sequence[Any]) -> None:
        _check_lengths(predictions, references)
        overlaps = list(map(self.overlap, predictions, references))
        self.counts += torch.tensor(overlaps, dtype=torch.int64, device=self.device).view(-1, 3).sum(dim=0)

    def compute(self) -> Tensor:
        return overlap_f1(self.counts)


def build_metrics(task: Task) -> dict[str, Metric]:
    """The task's metrics, fresh, by the names in ``task.metrics`` and in their order.

    Raises:
        ValueError: The task's family has no metric of that name.
    """
    return {name: _build_metric(task, name) for name in task.metrics}


def is_labelled(task: Task, reference: Any) -> bool:
    """Whether a reference says what is right; that of a withheld one is None, of a grouped task (None, group)."""
    return (reference[0] if task.grouped else reference) is not None


def group_of(task: Task, name: str) -> str | None:
    """The group of examples whose accuracy alone a metric is; None: it is of all."""
    return name.removeprefix(_OF_GROUP) if task.grouped and name.startswith(_OF_GROUP) else None


def scores_whole_groups(task: Task) -> bool:
    """Whether some metric of the task sees a group of examples as one: it needs all of them."""
    return task.grouped and _ALL_RIGHT in task.metrics


def _build_metric(task: Task, name: str) -> Metric:
    if task.family is Family.CLASSIFICATION and (metric := _build_class_score(task, name)):
        return metric
    if task.family is Family.MRC and name in _ANSWERS:
        return MeanScore(partial(_ANSWERS[name], rules=task.answer_rules))
    if name in _METRICS.get(task.family, {}):
        return _METRICS[task.family][name]()
    known = {Family.CLASSIFICATION: (*_CLASSES, _ALL_RIGHT, f"{_OF_GROUP}<group>"), Family.MRC: _ANSWERS}
    raise ValueError(
        f"task {task.key!r}: no metric {name!r} for family {task.family.value!r} "
        f"(known: {', '.join(known.get(task.family) or _METRICS[task.family])}); "
        "correct the task's entry in the catalogue, or add the metric to recipe.tasks.metrics"
    )


def _build_class_score(task: Task, name: str) -> Metric | None:
    classes, of = len(task.labels), _label_of_pair if task.grouped else _label
    if name in _CLASSES:
        if _CLASSES[name] is positive_f1 and classes != 2:
            raise ValueError(f"task {task.key!r}: {name} is for 2 labels, not {classes}; use macro_f1")
        return ClassScore(_CLASSES[name], classes, of)
    if task.grouped and name == _ALL_RIGHT:
        return PooledScore(all_right, _group_row)
    if (group := group_of(task, name)) is not None:
        return ClassScore(accuracy, classes, partial(_label_in_group, group))
    return None


def _label(reference: int) -> int:
    return reference


def _label_of_pair(reference: tuple[int, str]) -> int:
    return reference[0]


def _label_in_group(group: str, reference: tuple[int, str]) -> int | None:
    return reference[0] if reference[1] == group else None


def _group_row(prediction: int, reference: tuple[int, str]) -> tuple[float, float]:
    """A number for the group, of as many bits as float64 keeps, and whether the prediction is right."""
    label, group = reference
    number = int.from_bytes(hashlib.sha256(group.encode()).digest()[:6], "big")
    return float(number), float(prediction == label)


def _pair(prediction: float, reference: float) -> tuple[float, float]:
    return prediction, reference


def _same(prediction: int, reference: int) -> float:
    return float(prediction == reference)


def _rouge_score(name: str, prediction: str, reference: str) -> float:
    return rouge_scores(prediction, reference)[name]


def _check_lengths(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    if len(predictions) != len(references):
        raise ValueError(
            f"{len(predictions)} predictions but {len(references)} references: a metric takes one each per example"
        )


_OF_GROUP = "accuracy_"  # followed by a group's name: accuracy of that group alone
_ALL_RIGHT = "exact_match"  # of groups: MultiRC's questions with every answer right
_CLASSES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "accuracy": accuracy,
    "f1": positive_f1,
    "f1a": positive_f1,  # MultiRC's name for it, over all answers of all questions
    "macro_f1": macro_f1,
    "matthews": matthews,
}
_ANSWERS: Mapping[str, Callable[..., float]] = {"f1": token_f1, "exact_match": exact_match}
_METRICS: Mapping[Family, Mapping[str, Callable[[], Metric]]] = {
    Family.COMMONSENSE: {"accuracy": partial(MeanScore, _same)},
    Family.SUMMARIZATION: {name: partial(MeanScore, partial(_rouge_score, name)) for name in ROUGE},
    Family.REGRESSION: {
        name: partial(PooledScore, score, _pair) for name, score in (("pearson", pearson), ("spearman", spearman))
    },
    Family.TAGGING: {
        "accuracy": partial(OverlapF1, tag_overlap),
        "chunk_f1": partial(OverlapF1, chunk_overlap),
        "bracket_f1": partial(OverlapF1, bracket_overlap),
    },
    Family.MASKED_LM: {"accuracy": partial(OverlapF1, tag_overlap)},
}
