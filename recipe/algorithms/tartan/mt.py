"""MT-TARTAN: Composer algorithm. T tasks, K microbatches of a rank in a step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from composer.core import Event, State
from composer.loggers import Logger
from composer.utils import dist
from torch import Tensor

from recipe.algorithms.balancing import LossBalancing
from recipe.data.microbatch import example_tasks


class MTTartan(LossBalancing):
    """A step's loss is the sum over tasks of weight x the task's mean loss (arXiv 2109.07437, equation 3).

    All tasks weigh alike, 1 / T, however many examples each has in the step; the mean is over the step's examples of
    the task, all ranks'. A task that a step lacks adds nothing to it. Logged as ``tartan/weight/<task>``.

    Args:
        tasks: Keys of the end task and its auxiliaries, in the weights' order.
        interval_batches: Steps between two records of the weights.
    """

    log_prefix = "tartan"

    def __init__(self, tasks: Sequence[str], interval_batches: int = 10) -> None:
        super().__init__(tasks, interval_batches)
        self.weights = torch.full((len(self.tasks),), 1 / len(self.tasks), dtype=torch.float64)
        # (K, T) examples of each task in the k-th microbatches of this step: all ranks' together, and this rank's.
        self.examples = self.own_examples = torch.zeros(0, len(self.tasks), dtype=torch.int64)

    @property
    def factors(self) -> Tensor:
        """Composer takes the mean over the step's examples: each counts as its task's weight over its task's share."""
        of_task = self.examples.sum(dim=0)
        return self.weights * of_task.sum() / of_task.clamp(min=1)

    def match(self, event: Event, state: State) -> bool:
        return event == Event.BEFORE_TRAIN_BATCH or super().match(event, state)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.BEFORE_TRAIN_BATCH:
            self._count(state)
        else:
            super().apply(event, state, logger)

    def _count(self, state: State) -> None:
        tasks = [example_tasks(microbatch, self._index) for microbatch in state.batch]
        self.own_examples = torch.stack([torch.bincount(own, minlength=len(self.tasks)) for own in tasks]).cpu()
        counts = state.device.tensor_to_device(self.own_examples.clone())
        dist.all_reduce(counts)
        self.examples = counts.cpu()
