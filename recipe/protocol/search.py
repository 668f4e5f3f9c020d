"""The fixed search of one cell: every combination of hyper-parameters once, the best one with every seed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from recipe.protocol.config import ProtocolConfig, hyperparameters
from recipe.protocol.process import ProcessError
from recipe.protocol.result import FinetuneResult, load_result
from recipe.protocol.trial import Cell, Point, Trial

JOURNAL = "search.log"

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class Outcome:
    """What came of a cell, or of all cells of an evaluation.

    Attributes:
        runs: The final runs: of each cell the best hyper-parameters', one a seed.
        errors: Why a run or a whole cell is missing, one line each.
    """

    runs: dict[Trial, FinetuneResult] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def search(cell: Cell, root: Path, config: ProtocolConfig, run: Callable[[Trial], FinetuneResult]) -> Outcome:
    """Runs a cell and returns its final runs: the best combination's, one a seed.

    Combinations are compared by the validation score of their run with the first seed, as the paper does ("a fixed
    search"); of equals the first wins. One whose run fails, or diverges until its score is undefined, is worse than
    any other, and is not tried again before the next call. What was tried is in Optuna's journal ``search.log`` in the
    cell's folder, so a search that was interrupted tries only the rest. One process at a time may run a cell.

    Args:
        cell: What to fine-tune.
        root: Folder of the evaluation.
        config: Of the evaluation.
        run: Runs one trial, or reads its result.

    Raises:
        ProcessError: Every combination failed, or every seed of the best one.
    """
    attempt = _Attempts(root, run)
    best = _best_point(cell, root, config, attempt)
    trials = [_trial(cell, best, seed) for seed in config.seeds]
    # A run that the search has made is read again, one that failed just now is not made again.
    runs = {trial: result for trial in trials if (result := attempt(trial)) is not None}
    if not runs:
        raise _no_run(cell, attempt.errors)
    return Outcome(runs, list(attempt.errors.values()))


class _Attempts:
    """Runs trials; of those that fail it keeps the reason and gives None, at once when asked again."""

    def __init__(self, root: Path, run: Callable[[Trial], FinetuneResult]) -> None:
        self.errors: dict[Trial, str] = {}
        self._root = root
        self._run = run

    def __call__(self, trial: Trial) -> FinetuneResult | None:
        if trial in self.errors:
            return None
        try:
            result = self._run(trial)
        except ProcessError as error:
            self.errors[trial] = str(error)
            return None
        if math.isnan(result.score):
            self.errors[trial] = (
                f"{trial.folder(self._root)}: its {result.primary} is undefined, as of a run that diverged"
            )
            return None
        return result


def _no_run(cell: Cell, errors: Mapping[Trial, str]) -> ProcessError:
    first, *others = errors.values()
    return ProcessError(f"{first} (and {len(others)} more of {cell.name})" if others else first)


def finished_runs(cell: Cell, root: Path, config: ProtocolConfig) -> list[FinetuneResult]:
    """Those of the runs that :func:`search` makes which are there; an earlier search's others are not among them."""
    first, *others = config.seeds
    trials = [_trial(cell, point, first) for point in hyperparameters(config.search)]
    done = {trial: load_result(trial.folder(root)) for trial in trials if trial.is_done(root)}
    if not done and len(trials) > 1:
        return []
    # The best so far, which others may still beat.
    best = max(done, key=lambda trial: _worth(done[trial].score), default=trials[0])
    more = [trial for seed in others if (trial := replace(best, seed=seed)).is_done(root)]
    return [*done.values(), *(load_result(trial.folder(root)) for trial in more)]


def _trial(cell: Cell, point: Point, seed: int) -> Trial:
    return Trial(cell, tuple(point.items()), seed)


def _worth(score: float) -> float:
    """For comparison: a score that is undefined, that of a run that diverged, is the worst."""
    return -math.inf if math.isnan(score) else score


def _best_point(cell: Cell, root: Path, config: ProtocolConfig, attempt: _Attempts) -> Point:
    points = hyperparameters(config.search)
    if len(points) == 1:
        return points[0]
    folder = cell.folder(root)
    folder.mkdir(parents=True, exist_ok=True)
    values = {name: list(dict.fromkeys(point[name] for point in points)) for name in points[0]}
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(folder / JOURNAL))),
        study_name=json.dumps(values),  # Optuna allows no other values in a study that has begun
        direction="maximize",
        load_if_exists=True,
    )
    tried: set[Any] = set()

    def objective(suggested: optuna.Trial) -> float:
        point: Point = {
            name: cast(Any, suggested.suggest_categorical(name, choices)) for name, choices in values.items()
        }
        tried.add(_key(point))
        result = attempt(_trial(cell, point, config.seeds[0]))
        return math.nan if result is None else result.score  # which Optuna records as a failure

    # One by one: Optuna's grid sampler would pass over a combination whose trial was killed.
    while untried := [point for point in points if _key(point) not in tried | _scores(study).keys()]:
        study.enqueue_trial(untried[0])
        study.optimize(objective, n_trials=1)
    scores = _scores(study)
    if not scores:
        raise _no_run(cell, attempt.errors)
    return max(points, key=lambda point: scores.get(_key(point), -math.inf))


def _scores(study: optuna.Study) -> dict[Any, float]:
    """The score of each combination that was tried to the end."""
    finished = study.get_trials(states=(TrialState.COMPLETE,))
    return {_key(trial.params): trial.value for trial in finished if trial.value is not None}


def _key(point: Point) -> frozenset[tuple[str, float | None]]:
    return frozenset(point.items())
