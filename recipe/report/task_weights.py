"""Which tasks ended with most weight: the weights that runs recorded, and their ranking as text. R runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.errors import UserError
from recipe.report.curves import read_metrics
from recipe.report.markdown import markdown_table

PICTURE = "task_weights.png"  # beside the text
_NEGLIGIBLE = 1e-9  # a relative difference that rounding makes
_HOW_TO_READ = {
    "tartan": "How to read: META-TARTAN raised the weight of tasks whose gradient pointed where the end task's "
    "development gradient did, so the order is a guess which tasks help, best checked by training with and without "
    "them. They add up to 1: what the end task itself gains all others lose, so compare these with one another. They "
    "move only in steps in which a task has examples, and few examples make noisy gradients: a weight "
    "near the equal one may only mean that the task was rarely there.",
    "balancing": "How to read: balancing sets how much a task's loss counts. A large weight does not mean that the "
    "task helps another; for that use `algorithms.tartan.method=meta`.",
}


@dataclass(frozen=True)
class RecordedWeights:
    """The weights of one run, as its metrics file has them.

    Attributes:
        run: Its folder.
        kind: ``"tartan"`` or ``"balancing"``: what the metrics are called.
        steps: At which they were recorded.
        weights: By task, one a step.
        seen: By task, the share of recorded intervals in which it had an example; None where no losses were recorded.
    """

    run: Path
    kind: str
    steps: list[int]
    weights: dict[str, list[float]]
    seen: dict[str, float] | None

    @property
    def equal(self) -> float:
        """The weight of every task if all weighed the same."""
        return 1.0 if self.kind == "balancing" else 1 / len(self.weights)

    @property
    def final_steps(self) -> list[int]:
        """Those of the last tenth of the run."""
        return [step for step in self.steps if step > 0.9 * self.steps[-1]]

    def final(self, task: str) -> float:
        """A task's mean weight over :attr:`final_steps`."""
        last = self.weights[task][-len(self.final_steps) :]
        return math.fsum(last) / len(last)


@dataclass(frozen=True)
class RankedTask:
    """One task's final weights.

    Attributes:
        task: Its key.
        weights: (R,) one a run.
        seen: Mean over runs of the share of recorded intervals in which it had an example, if that was recorded.
        equal: The weight of every task if all weighed the same.
    """

    task: str
    weights: tuple[float, ...]
    seen: float | None
    equal: float

    @property
    def weight(self) -> float:
        return math.fsum(self.weights) / len(self.weights)

    @property
    def runs_above_equal(self) -> int:
        return sum(weight > self.equal * (1 + _NEGLIGIBLE) for weight in self.weights)


def read_weights(run: Path, metrics_file: Path) -> RecordedWeights:
    """What a run recorded of its tasks' weights.

    Raises:
        UserError: There is no such file, it is damaged, or holds no weights that a ranking could come from.
    """
    if not metrics_file.is_file():
        raise UserError(f"no run at {run} ({metrics_file.name} is missing): give the folders of runs, runs/<run_name>")
    records = read_metrics(metrics_file)
    kind = next((kind for kind in _HOW_TO_READ if any(_weights_of(record, kind) for record in records)), None)
    if kind is None:
        raise UserError(
            f"{run} recorded no task weights: train with algorithms.tartan.method=meta and "
            "algorithms.tartan.end_task=<your task>, or with algorithms.balancing=<dwa, uncertainty, ...>, for at "
            "least logging.interval steps"
        )
    recorded = {record["step"]: own for record in records if (own := _weights_of(record, kind))}
    for step, own in recorded.items():
        if broken := [task for task, weight in own.items() if weight is None]:
            raise UserError(f"{run}: at step {step} the weight of {broken[0]} is not finite: lower the learning rate")
    steps, tasks = list(recorded), list(next(iter(recorded.values())))
    weights = {task: [own[task] for own in recorded.values()] for task in tasks}
    last = [series[-1] for series in weights.values()]
    if max(last) <= min(last) * (1 + _NEGLIGIBLE):
        raise UserError(
            f"all tasks of {run} weigh the same to the end, so nothing can be ranked: algorithms.tartan.method=mt "
            "never moves weights, use meta; other methods may need more steps"
        )
    return RecordedWeights(run, kind, steps, weights, _seen(records, tasks))


def _weights_of(record: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """By task; empty where a record has none."""
    prefix = f"{kind}/weight/"
    return {key.removeprefix(prefix): value for key, value in record.items() if key.startswith(prefix)}


def _seen(records: Sequence[Mapping[str, Any]], tasks: Sequence[str]) -> dict[str, float] | None:
    """A task without examples in an interval has no loss there (:class:`recipe.callbacks.task_loss.TaskLoss`)."""
    intervals = [record for record in records if any(f"loss/raw/{task}" in record for task in tasks)]
    if not intervals:
        return None
    return {task: sum(f"loss/raw/{task}" in record for record in intervals) / len(intervals) for task in tasks}


def rank_tasks(runs: Sequence[RecordedWeights]) -> list[RankedTask]:
    """The tasks by final weight, the largest first.

    Args:
        runs: At least one; several are seeds of the same tasks.

    Raises:
        UserError: They are not comparable.
    """
    first = runs[0]
    for number, other in enumerate(runs[1:], start=1):
        if any(other.run.resolve() == earlier.run.resolve() for earlier in runs[:number]):
            raise UserError(f"{other.run} is named twice: its agreement with itself says nothing")
        if differing := sorted(first.weights.keys() ^ other.weights.keys()):
            raise UserError(
                f"{first.run} and {other.run} differ in {', '.join(differing)}: a weight depends on the other tasks, "
                "so give runs of the same tasks"
            )
        if first.kind != other.kind:
            raise UserError(f"{first.run} has {first.kind} weights and {other.run} {other.kind} weights: rank one kind")
        if first.steps != other.steps:
            raise UserError(
                f"{first.run} recorded weights up to step {first.steps[-1]} and {other.run} up to {other.steps[-1]}, "
                "or at other steps: give runs of the same length and logging.interval"
            )
    return sorted((_ranked(task, runs) for task in first.weights), key=lambda ranked: (-ranked.weight, ranked.task))


def _ranked(task: str, runs: Sequence[RecordedWeights]) -> RankedTask:
    seen = [run.seen[task] for run in runs if run.seen is not None]
    weights = tuple(run.final(task) for run in runs)
    return RankedTask(task, weights, math.fsum(seen) / len(seen) if seen else None, runs[0].equal)


def weights_text(runs: Sequence[RecordedWeights], ranking: Sequence[RankedTask], end_task: str | None) -> str:
    """``task_weights.md``: what was measured, how to read it, the picture and the table.

    Args:
        runs: At least one.
        ranking: Of :func:`rank_tasks`.
        end_task: The task that the others were to help, if there was one.
    """
    final, names = runs[0].final_steps, ", ".join(f"`{run.run.name}`" for run in runs)
    summary = (
        f"Weights are means over steps {final[0]} to {final[-1]}, the last tenth, of {names}"
        f"{', and over these runs' if len(runs) > 1 else ''}. Were all alike, each of the "
        f"{len(ranking)} tasks would weigh {runs[0].equal:.4f}."
    )
    if end_task is not None:
        summary += f" `{end_task}` is the end task itself."
    if ranking[0].seen is not None:
        summary += " `seen`: in how many of the recorded intervals a task had an example."
    parts = (
        f"# {title(end_task)}",
        summary,
        _HOW_TO_READ[runs[0].kind],
        f"![weights over steps]({PICTURE})",
        _table(ranking),
    )
    return "\n\n".join(parts) + "\n"


def title(end_task: str | None) -> str:
    """Of the text and the picture."""
    return "Task weights" if end_task is None else f"Which tasks help {end_task}?"


def _table(ranking: Sequence[RankedTask]) -> str:
    columns: dict[str, tuple[str, list[str]]] = {  # alignment and cells
        "rank": ("r", [str(place) for place in range(1, len(ranking) + 1)]),
        "task": ("l", [ranked.task for ranked in ranking]),
        "weight": ("r", [f"{ranked.weight:.4f}" for ranked in ranking]),
        "/ equal": ("r", [f"{ranked.weight / ranked.equal:.2f}" for ranked in ranking]),
    }
    runs = len(ranking[0].weights)
    if runs > 1:
        ranges = [f"{min(ranked.weights):.4f} to {max(ranked.weights):.4f}" for ranked in ranking]
        columns["lowest to highest"] = ("r", ranges)
    if ranking[0].seen is not None:
        columns["seen"] = ("r", [f"{ranked.seen:.0%}" for ranked in ranking])
    above = [ranked.runs_above_equal for ranked in ranking]
    columns["above equal"] = ("l", [("no", "yes")[n] if runs == 1 else f"{n} of {runs} runs" for n in above])
    rows = list(zip(*(cells for _, cells in columns.values()), strict=True))
    return markdown_table(list(columns), rows, "".join(side for side, _ in columns.values()))
