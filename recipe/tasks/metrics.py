"""How predictions are scored: torchmetrics classes, all with ``update(predictions: list, references: list)``.

========================  ====================  =======================================
family                    prediction            reference
========================  ====================  =======================================
classification            class (int)           class (int)
commonsense               choice (int)          choice (int)
mrc                       answer (str)          every acceptable answer (list of str)
summarization             summary (str)         summary (str)
masked_lm                 token (int)           token (int), one each a masked token
========================  ====================  =======================================

Scores are fractions: [0, 1], Matthews correlation [-1, 1]. Every state is summed over ranks, so a score does not
depend on how the examples were spread.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import torch
from rouge_score.rouge_scorer import RougeScorer
from torch import Tensor
from torchmetrics import Metric

from recipe.tasks.catalogue import Family, Task

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ROUGE = ("rouge1", "rouge2", "rougeL")


# Text scores: pure functions.


def normalize_answer(text: str) -> str:
    """Lower case without punctuation, articles and extra whitespace (SQuAD's official evaluation script)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 if the prediction equals one of the ``answers`` after normalisation (none: the empty answer), else 0."""
    return float(normalize_answer(prediction) in {normalize_answer(answer) for answer in answers or ("",)})


def token_f1(prediction: str, answers: Sequence[str]) -> float:
    """F1 of the bags of normalised words, the best over ``answers`` (SQuAD; none: the empty answer)."""
    return max(_bag_f1(normalize_answer(prediction).split(), normalize_answer(a).split()) for a in answers or ("",))


def _bag_f1(predicted: list[str], right: list[str]) -> float:
    if not predicted or not right:
        return float(predicted == right)
    common = sum((Counter(predicted) & Counter(right)).values())
    return 2 * common / (len(predicted) + len(right))


# A task's three ROUGE metrics score the same batch one after the other; stemming is what costs.
@lru_cache(maxsize=1024)
def rouge_scores(prediction: str, reference: str) -> Mapping[str, float]:
    """Stemmed ROUGE F-measures of one summary, by name: rouge1, rouge2 and rougeL."""
    scores = _rouge_scorer().score(target=reference, prediction=prediction)
    return {name: float(score.fmeasure) for name, score in scores.items()}


@lru_cache(maxsize=1)
def _rouge_scorer() -> RougeScorer:
    return RougeScorer(_ROUGE, use_stemmer=True)


# Class scores: pure functions of a confusion matrix (C, C), rows the right class, columns the predicted one.


def accuracy(confusion: Tensor) -> Tensor:
    """Fraction of right classes; NaN without examples."""
    return confusion.trace() / confusion.sum()


def class_f1(confusion: Tensor) -> Tensor:
    """(C,) F1 of each class; NaN where a class neither occurs nor is predicted."""
    return 2 * confusion.diagonal() / (confusion.sum(dim=0) + confusion.sum(dim=1))


def positive_f1(confusion: Tensor) -> Tensor:
    """F1 of class 1, 0 if it neither occurs nor is predicted."""
    return class_f1(confusion)[1].nan_to_num(0.0)


def macro_f1(confusion: Tensor) -> Tensor:
    """Mean of each class's F1 over the classes that occur or are predicted."""
    return class_f1(confusion).nanmean()


def matthews(confusion: Tensor) -> Tensor:
    """Matthews correlation, 0 where it is undefined (only one class), as GLUE and scikit-learn have it.

    torchmetrics 1.7 gives constant predictions another value (0.026 for CoLA's majority class), hence our own.
    """
    right, total = confusion.trace(), confusion.sum()
    actual, predicted = confusion.sum(dim=1), confusion.sum(dim=0)
    covariance = right * total - actual @ predicted
    variances = (total**2 - predicted @ predicted) * (total**2 - actual @ actual)
    return covariance / variances.clamp(min=1).sqrt()


# Metrics: thin shells that sum over examples and ranks.


class ClassScore(Metric):
    """``score`` of the confusion matrix of ``classes`` classes.

    Raises:
        ValueError: By ``update``, for a class outside [0, classes).
    """

    confusion: Tensor

    def __init__(self, score: Callable[[Tensor], Tensor], classes: int) -> None:
        super().__init__()
        self.score = score
        self.classes = classes
        self.add_state("confusion", torch.zeros(classes, classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Sequence[int], references: Sequence[int]) -> None:
        _check_lengths(predictions, references)
        pairs = torch.tensor([list(references), list(predictions)], dtype=torch.int64)
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


def build_metrics(task: Task) -> dict[str, Metric]:
    """The task's metrics, fresh, by the names in ``task.metrics`` and in their order.

    Raises:
        ValueError: The task's family has no metric of that name.
    """
    return {name: _build_metric(task, name) for name in task.metrics}


def _build_metric(task: Task, name: str) -> Metric:
    known = _SCORES.get(task.family, {})
    if name not in known:
        names = ", ".join(known) or "none yet"
        raise ValueError(
            f"task {task.key!r}: no metric {name!r} for family {task.family.value!r} (known: {names}); "
            "correct the task's entry in the catalogue, or add the metric to recipe.tasks.metrics"
        )
    if task.family is not Family.CLASSIFICATION:
        return MeanScore(known[name])
    if known[name] is positive_f1 and len(task.labels) != 2:
        raise ValueError(f"task {task.key!r}: f1 is for 2 labels, not {len(task.labels)}; use macro_f1")
    return ClassScore(known[name], classes=len(task.labels))


def _same(prediction: int, reference: int) -> float:
    return float(prediction == reference)


def _rouge_score(name: str, prediction: str, reference: str) -> float:
    return rouge_scores(prediction, reference)[name]


def _check_lengths(predictions: Sequence[Any], references: Sequence[Any]) -> None:
    if len(predictions) != len(references):
        raise ValueError(
            f"{len(predictions)} predictions but {len(references)} references: a metric takes one each per example"
        )


_SCORES: Mapping[Family, Mapping[str, Callable[..., Any]]] = {
    Family.CLASSIFICATION: {
        "accuracy": accuracy,
        "f1": positive_f1,
        "macro_f1": macro_f1,
        "matthews": matthews,
    },
    Family.COMMONSENSE: {"accuracy": _same},
    Family.MRC: {"f1": token_f1, "exact_match": exact_match},
    Family.MASKED_LM: {"accuracy": _same},
    Family.SUMMARIZATION: {name: partial(_rouge_score, name) for name in _ROUGE},
}
