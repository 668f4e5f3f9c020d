"""Dynamic weight average: functional form and Composer algorithm. T tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from recipe.algorithms.balancing.measured import MeasuredBalancing


def dwa_weights(last: Tensor, before: Tensor, temperature: float) -> Tensor:
    """T x softmax(r / temperature), r = last / before: slower descent, more weight (arXiv 1803.10704, equation 7).

    Args:
        last: (T,) mean losses of the last interval, NaN for a task that was not in it.
        before: (T,) those of the interval before. Where either is unknown r is 1, as for a loss that stands still.
        temperature: Large ones even the weights out.

    Returns:
        (T,), their mean 1.
    """
    ratio = (last / before).nan_to_num(nan=1.0, posinf=1.0)
    return len(ratio) * torch.softmax(ratio / temperature, dim=0)


class DynamicWeightAverage(MeasuredBalancing):
    """DWA (arXiv 1803.10704, section 3.2): tasks whose losses fall slowly get more weight, at no cost.

    The paper's intervals are epochs; here they are steps, for a run may have one epoch only. In the first two
    intervals all weights are 1.

    Args:
        losses: Of ``(outputs, batch)``, the loss of each example (B,).
        tasks: Keys, in the weights' order.
        steps: Of an interval. Default: ``100``.
        temperature: Default: ``2.0`` (the paper's).
        interval_batches: Steps between two records of the weights.
    """

    def __init__(
        self,
        losses: Callable[[Any, Any], Tensor],
        tasks: Sequence[str],
        steps: int = 100,
        temperature: float = 2.0,
        interval_batches: int = 10,
    ) -> None:
        super().__init__(losses, tasks, interval_batches)
        self.steps = steps
        self.temperature = temperature
        self._done = 0  # steps of the current interval
        self._sum, self._examples = torch.zeros(2, len(self.tasks), dtype=torch.float64)
        self._last = torch.full((len(self.tasks),), torch.nan, dtype=torch.float64)

    def observe(self, losses: Tensor, examples: Tensor) -> None:
        self._sum, self._examples, self._done = self._sum + losses, self._examples + examples, self._done + 1
        if self._done == self.steps:
            now = self._sum / self._examples  # NaN without examples
            self.weights = dwa_weights(now, self._last, self.temperature)
            self._last, self._done = now, 0
            self._sum, self._examples = torch.zeros_like(self._sum), torch.zeros_like(self._examples)

    def state_dict(self) -> dict[str, Any]:
        own = {"sum": self._sum, "examples": self._examples, "last": self._last}
        return {**super().state_dict(), "done": self._done, **{k: self._named(v) for k, v in own.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._done = state["done"]
        self._sum, self._examples, self._last = (self._values(state[key]) for key in ("sum", "examples", "last"))
