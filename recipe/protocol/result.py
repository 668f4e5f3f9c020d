"""What one fine-tuning run leaves behind: ``result.json`` and ``predictions.parquet`` in its folder.

Where it was asked to score the test split, too, ``result.json`` has those scores and ``test_predictions.parquet`` those
predictions.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recipe.errors import UserError
from recipe.report.files import write_beside, write_text

RESULT = "result.json"
PREDICTIONS = "predictions.parquet"
TEST_PREDICTIONS = "test_predictions.parquet"


class ResultError(UserError):
    """A fine-tuning run's result that is missing or cannot be read."""


@dataclass(frozen=True)
class FinetuneResult:
    """One fine-tuning run, scored on the task's validation split with the weights that were best there.

    Attributes:
        task: Its key.
        family: The task's family.
        start: Where the weights came from: a Hub name, a folder or a run.
        seed: Of the run.
        fraction: Share of the training examples that it had, (0, 1].
        primary: Name of the metric that chose the weights.
        scores: By metric; fractions, correlations in [-1, 1].
        examples: Validation examples.
        hyperparameters: Learning rate, Adam's epsilon, dropout: ``lr``, ``eps``, ``dropout`` (None: the backbone's).
        reused_head: Whether the task's head came with the start.
        steps: Optimiser steps.
        trained_examples: Examples seen in training, each as often as it was.
        trained_tokens: Tokens of them, without padding.
        seconds: Training and evaluation.
        curve: ``(step, primary metric)`` of each evaluation.
        test_scores: As ``scores``, on the labelled examples of the test split; None where it was not asked for.
        test_examples: How many those are.
    """

    task: str
    family: str
    start: str
    seed: int
    fraction: float
    primary: str
    scores: dict[str, float]
    examples: int
    hyperparameters: dict[str, float | None]
    reused_head: bool
    steps: int
    trained_examples: int
    trained_tokens: int
    seconds: float
    curve: list[tuple[int, float]]
    test_scores: dict[str, float] | None = None
    test_examples: int | None = None

    @property
    def score(self) -> float:
        """The primary metric."""
        return self.scores[self.primary]


@dataclass(frozen=True)
class Predictions:
    """Every example of a split, in its order.

    Attributes:
        predictions: As :mod:`recipe.tasks.metrics` takes them.
        references: Likewise; withheld ones as :func:`recipe.tasks.metrics.is_labelled` has them.
        indices: The examples' numbers on their benchmark's leaderboard; none where there is no such board.
    """

    predictions: list[Any]
    references: list[Any]
    indices: list[Any] = field(default_factory=list)


def save_result(folder: Path, result: FinetuneResult, predictions: Predictions, test: bool = False) -> None:
    """Writes both files; ``result.json``, which says that the run is finished, last.

    Args:
        folder: The run's.
        result: What it found.
        predictions: Of the validation split, or of the test split.
        test: Which of them.
    """
    save_predictions(folder / (TEST_PREDICTIONS if test else PREDICTIONS), predictions)
    write_text(folder / RESULT, json.dumps(asdict(result), indent=2) + "\n")


def save_predictions(path: Path, predictions: Predictions) -> None:
    """Writes a row for each example; values are JSON, as they are a number in one family and texts in another."""
    columns = {name: [json.dumps(value) for value in values] for name, values in asdict(predictions).items() if values}
    table = pa.table({"example": range(len(predictions.references)), **columns})
    write_beside(path, lambda partial: pq.write_table(table, partial))


def load_result(folder: Path) -> FinetuneResult:
    """Raises :class:`ResultError` where there is none, or none that this version wrote."""
    path = folder / RESULT
    try:
        older = {"test_scores": None, "test_examples": None}  # what results lack that were written before these were
        content = older | json.loads(path.read_text(encoding="utf-8"))
        content["curve"] = [(step, score) for step, score in content["curve"]]
        return FinetuneResult(**{field.name: content[field.name] for field in fields(FinetuneResult)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path}: no result of a fine-tuning run ({error!r}); run it again") from error


def load_predictions(folder: Path, name: str = PREDICTIONS) -> Predictions:
    """Raises :class:`ResultError` where there are none."""
    path = folder / name
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{path}: no predictions of a fine-tuning run ({error}); run it again") from error
    columns = table.drop_columns("example").to_pydict()
    return Predictions(**{name: [json.loads(value) for value in values] for name, values in columns.items()})
