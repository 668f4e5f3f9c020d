"""What an evaluation found: one result a task, and the one number that sums them up."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from recipe.report.files import write_text

RESULTS = "results.json"  # in a run's folder


@dataclass(frozen=True)
class TaskResult:
    """One task's scores, all fractions.

    Attributes:
        task: Key of the task.
        family: Value of :class:`recipe.tasks.catalogue.Family`.
        examples: How many were evaluated.
        metrics: Score by metric.
        primary: The metric that stands for the task.
        baseline: What a system without learning scores, by metric.
        baseline_name: Which one, e.g. "constant class".
    """

    task: str
    family: str
    examples: int
    metrics: dict[str, float]
    primary: str
    baseline: dict[str, float]
    baseline_name: str

    @property
    def score(self) -> float:
        return self.metrics[self.primary]

    @property
    def baseline_score(self) -> float:
        return self.baseline[self.primary]

    @property
    def difference(self) -> float:
        """How much better than the baseline, by the primary metric."""
        return self.score - self.baseline_score

    def __post_init__(self) -> None:
        for name in ("metrics", "baseline"):
            if self.primary not in getattr(self, name):
                raise ValueError(f"result of task {self.task!r}: {name} lacks the primary metric {self.primary!r}")


def aggregate_primary(scores: Mapping[str, float]) -> float:
    """The mean over tasks of the primary metric: every task counts the same, whatever its size.

    Args:
        scores: Primary metric by task.

    Raises:
        ValueError: There are no tasks.
    """
    if not scores:
        raise ValueError("no task has a score: evaluate at least one task")
    return math.fsum(scores.values()) / len(scores)


def aggregate(results: Sequence[TaskResult]) -> float:
    """:func:`aggregate_primary` of the results."""
    return aggregate_primary({result.task: result.score for result in results})


def in_report_order(results: Sequence[TaskResult]) -> list[TaskResult]:
    """By family, then by task."""
    return sorted(results, key=lambda result: (result.family, result.task))


def save_results(path: Path, results: Sequence[TaskResult], run_name: str, steps: int | None = None) -> None:
    """Writes ``results.json``: the run's name, the steps behind its weights, the aggregate and every result."""
    content = {
        "run_name": run_name,
        "steps": steps,
        "aggregate": aggregate(results),
        "results": [asdict(result) for result in in_report_order(results)],
    }
    write_text(path, json.dumps(content, indent=2) + "\n")


def load_steps(path: Path) -> int | None:
    """After how many optimiser steps the weights were that a results file scores; None where it does not say.

    Raises:
        ValueError: The file is not a results file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("steps")
    except (json.JSONDecodeError, AttributeError) as error:
        raise ValueError(f"{path}: not a results file ({error!r}); write it again with an evaluation") from error


def load_results(path: Path) -> list[TaskResult]:
    """Reads what :func:`save_results` wrote.

    Raises:
        ValueError: The file is not a results file.
    """
    names = [field.name for field in fields(TaskResult)]
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [TaskResult(**{name: entry[name] for name in names}) for entry in content["results"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a results file ({error!r}); write it again with an evaluation") from error
