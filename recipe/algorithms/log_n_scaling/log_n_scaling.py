"""Loss scaling by log n: functional form and Composer algorithm. B is the number of a microbatch's examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from composer.core import Algorithm, Event, State
from composer.loggers import Logger
from torch import Tensor


def scale_by_log_n(loss: Tensor, log_n: Tensor | float) -> Tensor:
    """The scaled loss L / log n (MUPPET, arXiv 2101.11038, section 3.2), in nats over nats.

    A prediction that is uniform over the n outcomes has scaled loss 1, whatever n: tasks with many classes, long
    contexts or a whole vocabulary to choose from no longer outweigh the others.

    Args:
        loss: One loss per example (B,), or their mean ().
        log_n: Natural logarithm of the number of outcomes, above 0: one per example (B,), or one number for all.

    Returns:
        Tensor of ``loss``'s shape.

    Raises:
        ValueError: ``log_n`` has another shape than ``loss``, or is a number that is not above 0.
    """
    if isinstance(log_n, Tensor) and log_n.ndim > 0:
        if log_n.shape != loss.shape:
            raise ValueError(
                f"log_n has shape {tuple(log_n.shape)} but the loss {tuple(loss.shape)}: "
                "return one loss per example from the model's loss(), or give log_n as one number"
            )
    elif float(log_n) <= 0:
        raise ValueError(f"log_n must be above 0, got {float(log_n)}: a choice needs at least 2 outcomes")
    return loss / log_n


class LogNLossScaling(Algorithm):
    """Divides the training loss by log n at ``Event.AFTER_LOSS`` (MUPPET, arXiv 2101.11038, section 3.2).

    What other algorithms add later, R3F's term at ``Event.BEFORE_BACKWARD`` for one, is not divided.

    Args:
        log_n: Of ``(outputs, batch)``, the logarithm of the number of outcomes: one per example (B,) where the
            model's loss is one per example, or one number.

    Example:
        .. testcode::

            import math
            from recipe.algorithms.log_n_scaling import LogNLossScaling

            # a plain classifier, whose outputs are logits (B, C)
            algorithm = LogNLossScaling(lambda outputs, batch: math.log(outputs.shape[-1]))
            # the multi-task model, which knows each example's n
            # algorithm = LogNLossScaling(model.log_outcomes)
    """

    def __init__(self, log_n: Callable[[Any, Any], Tensor | float]) -> None:
        self.log_n = log_n

    def match(self, event: Event, state: State) -> bool:
        return event == Event.AFTER_LOSS

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if not isinstance(state.loss, Tensor):
            raise ValueError(
                f"LogNLossScaling needs a model whose loss() returns one tensor, got {type(state.loss).__name__}"
            )
        with torch.no_grad():
            log_n = self.log_n(state.outputs, state.batch)
        state.loss = scale_by_log_n(state.loss, log_n)
