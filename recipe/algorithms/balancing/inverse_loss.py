"""Weights by inverse loss: functional form and Composer algorithm. T tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from recipe.algorithms.balancing.measured import MeasuredBalancing

_TINY = 1e-8  # a loss of 0 would weigh infinitely much


def inverse_loss_weights(losses: Tensor) -> Tensor:
    """Weights (T,) in proportion to 1 / loss, the mean over the tasks with a known loss 1.

    Args:
        losses: (T,) NaN where a task has none yet: it weighs 1.
    """
    inverse = 1 / losses.clamp(min=_TINY)
    return (inverse / inverse.nanmean()).nan_to_num(nan=1.0)


class InverseLossWeighting(MeasuredBalancing):
    """Every task's weighted loss is alike, be it large because the task is hard or because it has many classes.

    A task's loss is the moving average of its means in the steps that it was in.

    Args:
        losses: Of ``(outputs, batch)``, the loss of each example (B,).
        tasks: Keys, in the weights' order.
        decay: How much of the average a step leaves. Default: ``0.9``.
        interval_batches: Steps between two records of the weights.
    """

    def __init__(
        self,
        losses: Callable[[Any, Any], Tensor],
        tasks: Sequence[str],
        decay: float = 0.9,
        interval_batches: int = 10,
    ) -> None:
        super().__init__(losses, tasks, interval_batches)
        self.decay = decay
        self._averages = torch.full((len(self.tasks),), torch.nan, dtype=torch.float64)

    def observe(self, losses: Tensor, examples: Tensor) -> None:
        step = losses / examples  # NaN without examples
        moved = self.decay * self._averages + (1 - self.decay) * step
        self._averages = torch.where(step.isnan(), self._averages, torch.where(self._averages.isnan(), step, moved))
        self.weights = inverse_loss_weights(self._averages)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "averages": self._named(self._averages)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._averages = self._values(state["averages"])
