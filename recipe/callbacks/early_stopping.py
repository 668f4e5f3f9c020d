"""Stopping a run whose evaluations get no better."""

from __future__ import annotations

from typing import Any

from composer.core import Callback, State
from composer.loggers import Logger

from recipe.callbacks.aggregate import last_aggregate


class StopWithoutGain(Callback):
    """Ends training after ``patience`` evaluations in a row whose aggregate is no better than the best before them.

    Unlike Composer's ``EarlyStopper`` it is part of the checkpoint, so that a resumed run stops where it would have.

    Args:
        patience: Evaluations, at least 1.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best = float("-inf")
        self.waited = 0

    def fit_start(self, state: State, logger: Logger) -> None:
        self._stop_if_due(state)  # a run that was killed right after it had stopped

    def eval_after_all(self, state: State, logger: Logger) -> None:
        aggregate = last_aggregate(state)
        self.waited = 0 if aggregate > self.best else self.waited + 1
        self.best = max(self.best, aggregate)
        self._stop_if_due(state)

    def _stop_if_due(self, state: State) -> None:
        if self.waited >= self.patience:
            state.stop_training()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.waited = state["best"], state["waited"]
