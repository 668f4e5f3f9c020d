"""What is compared: fine-tuning runs of several starts on the same tasks, one of the starts being the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recipe.data.manifest import Manifest
from recipe.errors import UserError
from recipe.protocol.result import FinetuneResult, Predictions
from recipe.tasks import Task


class ComparisonError(UserError):
    """Runs that cannot be compared."""


@dataclass(frozen=True)
class Seen:
    """What a finished pre-finetuning run has cost.

    Attributes:
        steps: Optimiser steps.
        examples: Each as often as it was trained on.
        tokens: Of them, without padding.
        seconds: Of training and its evaluations; None: not recorded.
    """

    steps: int
    examples: int
    tokens: int
    seconds: float | None = None


@dataclass(frozen=True)
class Start:
    """Weights that fine-tuning starts from.

    Attributes:
        label: Its name in tables and pictures, e.g. "MiniLM, 20 tasks".
        source: Where the weights are: a Hub name, a folder or a run.
        reference: Whether the others' gains are over this one (the plain backbone).
        tasks: How many tasks it was pre-finetuned on, 0 for the plain backbone; None: not told.
        strategy: Batching strategy of its pre-finetuning, where strategies are compared.
        unfinished: What is missing of its pre-finetuning, e.g. "stopped at step 400 of 1,000"; None: nothing.
        seen: In its pre-finetuning; None: not told.
        learned: Keys of the tasks of its pre-finetuning; none: not told.
        configuration: Of its pre-finetuning, as YAML; None: not told.
    """

    label: str
    source: str
    reference: bool = False
    tasks: int | None = None
    strategy: str | None = None
    unfinished: str | None = None
    seen: Seen | None = None
    learned: Sequence[str] = ()
    configuration: str | None = None


@dataclass(frozen=True)
class Run:
    """A fine-tuning run and the label of its start."""

    result: FinetuneResult
    predictions: Predictions
    start: str


@dataclass(frozen=True)
class Comparison:
    """Everything that a report tells of.

    Attributes:
        title: Heads the report.
        tasks: Those of the runs, in the report's order.
        starts: In the report's order, one of them the reference.
        runs: One for each task, start, fraction and seed.
        configuration: What the protocol was told, as YAML.
        command: Makes the report again.
        missing: Runs that should be there and are not, a line each.
        data: What the streams that were read say about themselves.
        search: The search's trials: their cost is counted, their scores are not shown.

    Raises:
        ComparisonError: Not one reference, a start or a task twice or unknown, or two runs of a cell and seed.
    """

    title: str
    tasks: Sequence[Task]
    starts: Sequence[Start]
    runs: Sequence[Run]
    configuration: str
    command: str
    missing: Sequence[str] = ()
    data: Sequence[Manifest] = ()
    search: Sequence[FinetuneResult] = ()

    def __post_init__(self) -> None:
        labels, keys = [start.label for start in self.starts], [task.key for task in self.tasks]
        references = [start.label for start in self.starts if start.reference]
        if len(references) != 1:
            raise ComparisonError(
                f"a comparison needs one reference among its starts, not {len(references)} "
                f"({', '.join(references) or 'none'}): mark the plain backbone"
            )
        _check_once(labels, "start")
        _check_once(keys, "task")
        for run in self.runs:
            if run.start not in labels:
                raise ComparisonError(f"a run's start is {run.start!r}, which is not one of {', '.join(labels)}")
            if run.result.task not in keys:
                raise ComparisonError(f"a run's task is {run.result.task!r}, which is not one of {', '.join(keys)}")
        _check_once(
            [
                f"{run.result.task} from {run.start}, fraction {run.result.fraction}, seed {run.result.seed}"
                for run in self.runs
            ],
            "run",
        )

    @property
    def reference(self) -> Start:
        """The start that gains are over."""
        return next(start for start in self.starts if start.reference)


def _check_once(names: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ComparisonError(f"{what} {name} is there twice: give it once")
        seen.add(name)
