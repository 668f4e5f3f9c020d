"""What weights that follow the tasks' losses share: measuring these. B examples of a microbatch, T tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from composer.core import Event, State
from composer.loggers import Logger
from composer.utils import dist
from torch import Tensor

from recipe.algorithms.balancing.balancing import LossBalancing
from recipe.data.microbatch import example_tasks


class MeasuredBalancing(LossBalancing, ABC):
    """Sums each task's losses over a step and all ranks (one tensor of fixed size), then asks for the next weights.

    Args:
        losses: Of ``(outputs, batch)``, the loss of each example (B,) before anything weighs it. It is asked for by
            itself, because what ``state.loss`` holds at an event depends on the order of the algorithms.
        tasks: Keys, in the weights' order.
        interval_batches: Steps between two records of the weights.
    """

    def __init__(self, losses: Callable[[Any, Any], Tensor], tasks: Sequence[str], interval_batches: int = 10) -> None:
        super().__init__(tasks, interval_batches)
        self.losses = losses
        self._sums = torch.zeros(len(self.tasks), 2, dtype=torch.float64)  # (T, 2): loss, examples; of this step

    @abstractmethod
    def observe(self, losses: Tensor, examples: Tensor) -> None:
        """Take note of a step's sums of losses (T,) and numbers of examples (T,) over all ranks; set ``weights``."""

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.AFTER_LOSS:
            with torch.no_grad():
                losses = self.losses(state.outputs, state.batch).detach().to(torch.float64)
            self._sums = self._sums.to(losses.device)
            tasks = example_tasks(state.batch, self._index)
            self._sums.index_add_(0, tasks, torch.stack([losses, torch.ones_like(losses)], dim=1))
        else:
            dist.all_reduce(self._sums)
            self.observe(*self._sums.cpu().unbind(dim=1))
            self._sums.zero_()
        super().apply(event, state, logger)
