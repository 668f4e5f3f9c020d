"""Uncertainty weighting: Composer algorithm. B examples of a microbatch, T tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from composer.core import Event, State
from composer.loggers import Logger
from torch import Tensor

from recipe.algorithms.balancing.balancing import LossBalancing, weigh_by_task
from recipe.data.microbatch import example_tasks


class UncertaintyWeighting(LossBalancing):
    """L exp(-s) + s / 2 with a learned s = log sigma^2 per task (arXiv 1705.07115, equation 10).

    The product is taken at ``Event.AFTER_LOSS``, the term s / 2 added at ``Event.BEFORE_BACKWARD``, after whatever
    divides the loss: s settles at log(2 L) of the loss that is trained on. The log variances are parameters of the
    network and learn with the heads' rate; each starts at 0, a weight of 1.

    Args:
        log_variances: Of the outputs, s of each task (T,), as its forward read them.
        tasks: Keys, in their order.
        interval_batches: Steps between two records of the weights.
    """

    def __init__(
        self, log_variances: Callable[[Any], Tensor], tasks: Sequence[str], interval_batches: int = 10
    ) -> None:
        super().__init__(tasks, interval_batches)
        self.log_variances = log_variances

    def match(self, event: Event, state: State) -> bool:
        return event == Event.BEFORE_BACKWARD or super().match(event, state)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.BATCH_END:
            super().apply(event, state, logger)
            return
        assert isinstance(state.loss, Tensor)
        log_variances, tasks = self.log_variances(state.outputs), example_tasks(state.batch, self._index)
        if event == Event.AFTER_LOSS:
            weights = (-log_variances).exp()
            self.weights = weights.detach()
            state.loss = weigh_by_task(state.loss, weights, tasks)
        else:
            term = log_variances[tasks] / 2
            state.loss = state.loss + (term * state.batch["weights"] if "weights" in state.batch else term)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the log variances are in the model."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass
