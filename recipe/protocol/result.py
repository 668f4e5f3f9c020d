"""What one fine-tuning run leaves behind: ``result.json`` and ``predictions.parquet`` in its folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recipe.errors import UserError
from recipe.report.files import write_text

RESULT = "result.json"
PREDICTIONS = "predictions.parquet"


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

    @property
    def score(self) -> float:
        """The primary metric."""
        return self.scores[self.primary]


@dataclass(frozen=True)
class Predictions:
    """Every validation example of a run, in the split's order.

    Attributes:
        predictions: As :mod:`recipe.tasks.metrics` takes them.
        references: Likewise.
    """

    predictions: list[Any]
    references: list[Any]


def save_result(folder: Path, result: FinetuneResult, predictions: Predictions) -> None:
    """Writes both files; ``result.json``, which says that the run is finished, last."""
    columns = {name: [json.dumps(value) for value in values] for name, values in asdict(predictions).items()}
    beside = folder / f".partial-{PREDICTIONS}"
    pq.write_table(pa.table({"example": range(len(predictions.references)), **columns}), beside)
    beside.replace(folder / PREDICTIONS)
    write_text(folder / RESULT, json.dumps(asdict(result), indent=2) + "\n")


def load_result(folder: Path) -> FinetuneResult:
    """Raises :class:`ResultError` where there is none, or none that this version wrote."""
    path = folder / RESULT
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["curve"] = [(step, score) for step, score in content["curve"]]
        return FinetuneResult(**{field.name: content[field.name] for field in fields(FinetuneResult)})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path}: no result of a fine-tuning run ({error!r}); run it again") from error


def load_predictions(folder: Path) -> Predictions:
    """Raises :class:`ResultError` where there are none."""
    path = folder / PREDICTIONS
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(f"{path}: no predictions of a fine-tuning run ({error}); run it again") from error
    return Predictions(*(_plain(table.column(name).to_pylist()) for name in ("predictions", "references")))


def _plain(column: Sequence[str]) -> list[Any]:
    return [json.loads(value) for value in column]
