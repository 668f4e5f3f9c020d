"""Heads that a step has no example for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from composer.core import Algorithm, Event, State
from composer.loggers import Logger
from torch import Tensor

from recipe.data.microbatch import Batch


class FreezeIdleHeads(Algorithm):
    """Takes the gradients of heads away at ``Event.AFTER_TRAIN_BATCH`` when no rank had an example for them.

    They are zero, and yet an optimizer with momentum or weight decay acts on zeros: Adam goes on for a while where the
    last examples pointed, and both its moments fade. A head of a small task, seen once in a hundred steps, would be
    moved mostly by that. Without a gradient the optimizer passes over it: weights, moments and its count of steps stay.

    A run's first step is left alone, so that the optimizer has state for every parameter before the first checkpoint
    (one that lacks some cannot be loaded). There is no momentum yet; what remains is one step of weight decay, nothing
    at all where the learning rate warms up from 0.

    Args:
        idle_parameters: Parameters that no example of the given tasks reaches.
    """

    def __init__(self, idle_parameters: Callable[[Collection[str]], Iterable[Tensor]]) -> None:
        self.idle_parameters = idle_parameters

    def match(self, event: Event, state: State) -> bool:
        return event == Event.AFTER_TRAIN_BATCH and state.timestamp.batch.value > 0

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        batch: Batch = state.batch
        tasks = batch[0].get("step_tasks")
        assert tasks is not None, "the training loader says which tasks a step has"
        for parameter in self.idle_parameters(tasks):
            parameter.grad = None
