"""Each task's training loss, raw and scaled, over all ranks.

Shapes: B examples of a microbatch, T tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist
from torch import Tensor

from recipe.data.microbatch import example_tasks


class RecordsLosses(Protocol):
    """What the callback needs of the model."""

    last_raw_loss: Tensor | None
    """(B,) detached loss of each example of the last ``loss()``, before any algorithm changed it."""

    def log_outcomes(self, outputs: Any, batch: Any) -> Tensor:
        """(B,) log n, n the number of outcomes that an example predicts over."""
        ...


class TaskLoss(Callback):
    """Logs ``loss/raw/<task>`` and ``loss/scaled/<task>``, means over the examples since the last time.

    Also ``loss/scaled/mean``, over the examples of all tasks. Ranks see different tasks, so every rank sums into one
    tensor of fixed size, reduced once an interval. Tasks without examples in an interval are not logged.

    Args:
        model: Keeps the losses of its last microbatch.
        tasks: Keys, the same in the same order on every rank.
        interval_batches: Steps between two reductions.
    """

    def __init__(self, model: RecordsLosses, tasks: Sequence[str], interval_batches: int = 10) -> None:
        self.model = model
        self.tasks = tuple(tasks)
        self.interval_batches = interval_batches
        self._index = {task: index for index, task in enumerate(self.tasks)}
        self._sums = torch.zeros(len(self.tasks), 3, dtype=torch.float64)  # (T, 3): raw, scaled, examples

    def init(self, state: State, logger: Logger) -> None:
        self._sums = state.device.tensor_to_device(self._sums)

    def after_loss(self, state: State, logger: Logger) -> None:
        assert self.model.last_raw_loss is not None
        raw = self.model.last_raw_loss.to(torch.float64)
        scaled = raw / self.model.log_outcomes(state.outputs, state.batch).to(raw)
        tasks = example_tasks(state.batch, self._index)
        self._sums.index_add_(0, tasks, torch.stack([raw, scaled, torch.ones_like(raw)], dim=1).detach())

    def batch_end(self, state: State, logger: Logger) -> None:
        if int(state.timestamp.batch) % self.interval_batches == 0:
            logger.log_metrics(mean_losses(self.tasks, self._reduced_sums()))
            self._sums.zero_()

    def state_dict(self) -> dict[str, Any]:
        """The sums over all ranks: Composer asks every rank for it, and keeps rank 0's answer."""
        return {"tasks": list(self.tasks), "sums": self._reduced_sums().tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if dist.get_global_rank() == 0:
            for task, sums in zip(state["tasks"], state["sums"], strict=True):
                if task in self._index:
                    self._sums[self._index[task]] = torch.tensor(sums, dtype=torch.float64)

    def _reduced_sums(self) -> Tensor:
        """(T, 3) over all ranks."""
        sums = self._sums.clone()
        dist.all_reduce(sums)
        return sums


def mean_losses(tasks: Sequence[str], sums: Tensor) -> dict[str, float]:
    """Metrics from sums (T, 3) of raw losses, scaled losses and examples."""
    metrics: dict[str, float] = {}
    for task, (raw, scaled, examples) in zip(tasks, sums.tolist(), strict=True):
        if examples:
            metrics[f"loss/raw/{task}"] = raw / examples
            metrics[f"loss/scaled/{task}"] = scaled / examples
    _, scaled, examples = sums.sum(dim=0).tolist()
    if examples:
        metrics["loss/scaled/mean"] = scaled / examples
    return metrics
