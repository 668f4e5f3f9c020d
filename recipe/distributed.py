"""Ranks: starting them, sharding the model over them, and one defect of the CPU backend."""

from __future__ import annotations

from typing import Any

import torch
from composer.core import Algorithm, Event, State
from composer.loggers import Logger
from composer.utils import dist, get_device
from composer.utils.parallelism import FSDP2Config

from recipe.config import Parallelism, Precision

TIMEOUT_S = 1800.0  # a first epoch's shard download or a long evaluation must not look like a dead rank


def initialize_ranks() -> None:
    """Starts the process group before anything asks for ranks (Streaming would start and end one of its own)."""
    dist.initialize_dist(get_device(None), timeout=TIMEOUT_S)


def parallelism_config(parallelism: Parallelism) -> dict[str, Any] | None:
    """Composer's ``parallelism_config``; checkpoints are always one full file, loadable by either kind of run."""
    if parallelism is Parallelism.ddp or dist.get_world_size() == 1:
        return None
    return {"fsdp": FSDP2Config(state_dict_type="full")}


def resolve_precision(precision: Precision) -> str:
    """Composer's name for the precision; ``auto`` takes the best that the device has."""
    if precision is not Precision.auto:
        return precision.value
    if not torch.cuda.is_available():
        return Precision.fp32.value
    return (Precision.amp_bf16 if torch.cuda.is_bf16_supported() else Precision.amp_fp16).value


class GlooShardedMean(Algorithm):
    """Divides the loss by the number of ranks, for FSDP2 on CPUs.

    There FSDP2 asks gloo's reduce-scatter for a mean and gets a sum (pytorch#162338), so gradients would be too large
    by the number of ranks. Must be the last algorithm: BEFORE_BACKWARD runs in list order, and R3F adds its term there.
    """

    def match(self, event: Event, state: State) -> bool:
        return event == Event.BEFORE_BACKWARD

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        assert isinstance(state.loss, torch.Tensor)
        state.loss = state.loss / dist.get_world_size()

    @staticmethod
    def needed(parallelism: Parallelism) -> bool:
        return parallelism is Parallelism.fsdp2 and dist.get_world_size() > 1 and not torch.cuda.is_available()
