"""The paired bootstrap: how much scores depend on which validation examples there happen to be.

It draws as many examples as the split has from it, with replacement and the same for every run, and scores every run
on them with the task's own metric: Koehn 2004, and Berg-Kirkpatrick, Burkett and Klein 2012 for the p-value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torchmetrics import Metric

from recipe.protocol.comparison import ComparisonError, Run
from recipe.protocol.result import Predictions
from recipe.tasks import Task
from recipe.tasks.metrics import ClassScore, MeanScore, OverlapF1, build_metrics
from recipe.tasks.scores import overlap_f1

RESAMPLES = 1000
_SEED = 17  # of the draws
_TOLERANCE = 1e-4  # between a run's score and that of its predictions, which may have been summed in another order

Interval = tuple[float, float]


def resampled_scores(task: Task, runs: Sequence[Run], resamples: int = RESAMPLES) -> np.ndarray:
    """The primary metric of each run, on all validation examples and on draws of them.

    Args:
        task: Of all the runs.
        runs: At least one, all scored on the same examples.
        resamples: B, how many draws.

    Returns:
        (1 + B, runs) as fractions: the first row on every example once, each other on as many examples drawn with
        replacement, the same for all runs. The same again in every call.

    Raises:
        ComparisonError: See :func:`recipe.protocol.compare.compare`.
    """
    _check_alike(task, runs)
    examples = len(runs[0].predictions.references)
    scorers = [scorer(build_metrics(task)[run.result.primary], run.predictions) for run in runs]
    draws = chain([np.arange(examples)], draw_examples(examples, resamples))
    scores = np.array([[score(index) for score in scorers] for index in draws])
    for run, score in zip(runs, scores[0], strict=True):
        if abs(score - run.result.score) > _TOLERANCE:
            raise ComparisonError(
                f"task {task.key} from {run.start}, seed {run.result.seed}: {run.result.primary} is reported as "
                f"{run.result.score:.4f}, but the predictions score {score:.4f}; run it again"
            )
    return scores


def scorer(metric: Metric, predictions: Predictions) -> Callable[[np.ndarray], float]:
    """A function from examples' indices, (N,) and repeats allowed, to the metric of the predictions on these examples.

    What examples add to a mean, a confusion matrix or the counts of an F1 is worked out once (a tree takes long to
    read); any other metric sees every draw anew.
    """
    pairs = predictions.predictions, predictions.references
    if isinstance(metric, MeanScore):
        values = np.array(list(map(metric.score, *pairs)))
        return lambda index: float(values[index].mean())
    if isinstance(metric, ClassScore):
        return _class_scorer(metric, *pairs)
    if isinstance(metric, OverlapF1):
        overlaps = torch.tensor(list(map(metric.overlap, *pairs)), dtype=torch.int64).view(-1, 3)
        return lambda index: float(overlap_f1(overlaps[torch.from_numpy(index)].sum(dim=0)))

    def rescore(index: np.ndarray) -> float:
        metric.reset()
        metric.update(*([values[i] for i in index] for values in pairs))
        return float(metric.compute())

    return rescore


def draw_examples(examples: int, resamples: int) -> Iterator[np.ndarray]:
    """``resamples`` times ``examples`` indices below ``examples``, drawn with replacement; the same in every call."""
    rng = np.random.default_rng(_SEED)
    for _ in range(resamples):
        yield rng.integers(examples, size=examples)


def paired_bootstrap(differences: np.ndarray) -> tuple[float, Interval]:
    """The p-value and the 95 % interval of a difference.

    Args:
        differences: (1 + B,), first as observed, then on each draw of examples. Where a metric is undefined on a draw
            (NaN), the draw counts against the difference.

    Returns:
        The two-sided p-value, at least 1 / (1 + B), and the 2.5 % and 97.5 % percentiles.
    """
    observed, drawn = differences[0], differences[1:]
    # Sums of the same numbers in another order differ in the last bits; equality must not depend on them.
    inside = int((np.abs(drawn - observed) < np.abs(observed) - 1e-12).sum())
    low, high = np.nanpercentile(drawn, (2.5, 97.5))
    return (1 + len(drawn) - inside) / (1 + len(drawn)), (float(low), float(high))


def _check_alike(task: Task, runs: Sequence[Run]) -> None:
    first = runs[0]
    if first.result.primary not in task.metrics:
        raise ComparisonError(
            f"task {task.key}: {first.start} was scored by {first.result.primary}, which is none of the task's metrics "
            f"({', '.join(task.metrics)}); run it again"
        )
    for run in runs:
        if run.result.primary != first.result.primary:
            raise ComparisonError(
                f"task {task.key}: {run.start} was scored by {run.result.primary}, {first.start} by "
                f"{first.result.primary}; run one of them again"
            )
        if run.predictions.references != first.predictions.references:
            raise ComparisonError(
                f"task {task.key}: {run.start}, seed {run.result.seed}, was scored on other validation examples than "
                f"{first.start}, seed {first.result.seed}; run both from the same store"
            )


def _class_scorer(
    metric: ClassScore, predictions: Sequence[Any], references: Sequence[Any]
) -> Callable[[np.ndarray], float]:
    classes = metric.classes
    labels = [metric.of(reference) for reference in references]
    # One code for each cell of the matrix, and one more for examples that are left out.
    codes = np.array(
        [
            classes**2 if label is None else label * classes + predicted
            for label, predicted in zip(labels, predictions, strict=True)
        ]
    )

    def score(index: np.ndarray) -> float:
        counts = np.bincount(codes[index], minlength=classes**2 + 1)
        confusion = counts[: classes**2].reshape(classes, classes)
        return float(metric.score(torch.from_numpy(confusion).to(torch.float64)))

    return score
