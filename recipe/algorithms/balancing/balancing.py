"""What every way of balancing shares: a weight for each task. B examples of a microbatch, T tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from composer.core import Algorithm, Event, State
from composer.loggers import Logger
from torch import Tensor

from recipe.data.microbatch import example_tasks


def weigh_by_task(loss: Tensor, weights: Tensor, tasks: Tensor) -> Tensor:
    """Each example's loss times its task's weight.

    Args:
        loss: One loss per example (B,).
        weights: One weight per task (T,).
        tasks: Index of each example's task (B,).

    Returns:
        (B,)

    Raises:
        ValueError: ``loss`` is not one loss per example.
    """
    if loss.shape != tasks.shape:
        raise ValueError(
            f"the loss has shape {tuple(loss.shape)} but there are {len(tasks)} examples: tasks can be weighed where "
            "the model's loss() returns one loss per example"
        )
    return loss * weights.to(loss)[tasks]


class LossBalancing(Algorithm):
    """Multiplies each example's loss by its task's weight at ``Event.AFTER_LOSS``; here all of them are 1.

    A product, so the order with :class:`recipe.algorithms.log_n_scaling.LogNLossScaling` does not matter. Terms that
    others add at ``Event.BEFORE_BACKWARD``, R3F's for one, are not weighed. What a step's loss is the mean over, its
    examples or its tasks' means, stays the loader's business (``data.weighting``).

    Attributes:
        weights: (T,) float64 on the CPU, the same on every rank, their mean 1; logged as ``balancing/weight/<task>``.

    Args:
        tasks: Keys, in the weights' order.
        interval_batches: Steps between two records of the weights.
    """

    log_prefix = "balancing"

    def __init__(self, tasks: Sequence[str], interval_batches: int = 10) -> None:
        self.tasks = tuple(tasks)
        self.interval_batches = interval_batches
        self.weights = torch.ones(len(self.tasks), dtype=torch.float64)
        self._index = {task: index for index, task in enumerate(self.tasks)}

    @property
    def factors(self) -> Tensor:
        """(T,) what the losses of this step are multiplied by."""
        return self.weights

    def match(self, event: Event, state: State) -> bool:
        return event in (Event.AFTER_LOSS, Event.BATCH_END)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.AFTER_LOSS:
            assert isinstance(state.loss, Tensor)
            state.loss = weigh_by_task(state.loss, self.factors, example_tasks(state.batch, self._index))
        elif int(state.timestamp.batch) % self.interval_batches == 0:
            logger.log_metrics({f"{self.log_prefix}/weight/{k}": w for k, w in self._named(self.weights).items()})

    def state_dict(self) -> dict[str, Any]:
        """Plain values by task: a checkpoint holds no objects."""
        return {"weights": self._named(self.weights)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = self._values(state["weights"])

    def _named(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self.tasks, values.tolist(), strict=True))

    def _values(self, named: dict[str, float]) -> Tensor:
        return torch.tensor([named[task] for task in self.tasks], dtype=torch.float64)
