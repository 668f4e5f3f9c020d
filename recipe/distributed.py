"""Ranks: starting them, sharding the model over them, and one defect of the CPU backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from composer.core import Algorithm, Event, State
from composer.loggers import Logger
from composer.utils import dist, get_device
from composer.utils.parallelism import FSDP2Config, FSDPConfig

from recipe.config import Parallelism, Precision, TrainConfig
from recipe.errors import UserError

TIMEOUT_S = 1800.0  # a first epoch's shard download or a long evaluation must not look like a dead rank


def initialize_ranks() -> None:
    """Starts the process group before anything asks for ranks (Streaming would start and end one of its own)."""
    dist.initialize_dist(get_device(None), timeout=TIMEOUT_S)


class ParallelismError(UserError):
    """A way to share the model that these ranks or devices cannot follow."""


@dataclass
class _HybridFSDP2Config(FSDP2Config):
    """FSDP2 with a number of copies, which Composer reads but does not let its own class set."""

    copies: int | None = None

    @property
    def data_parallel_replicate_degree(self) -> int | None:
        return self.copies


def parallelism_config(config: TrainConfig) -> dict[str, Any] | None:
    """Composer's ``parallelism_config``; None where every rank holds all of the model and writes full checkpoints.

    Raises:
        ParallelismError: FSDP1 without GPUs, or ranks that cannot be divided into copies.
    """
    if config.parallelism is Parallelism.ddp or (dist.get_world_size() == 1 and not config.sharded_checkpoints):
        return None
    kind, copies = "sharded" if config.sharded_checkpoints else "full", _copies(config.shard_over)
    if config.parallelism is Parallelism.fsdp1:
        _require_gpus("parallelism=fsdp1")
        return {"fsdp": FSDPConfig(state_dict_type=kind, data_parallel_replicate_degree=copies)}
    if copies is not None:
        _require_gpus(f"shard_over={config.shard_over}")
    return {"fsdp": _HybridFSDP2Config(state_dict_type=kind, copies=copies)}


def _require_gpus(what: str) -> None:
    """Composer puts FSDP1's weights on a GPU, and FSDP2's copies wait for each other by events that CPUs lack."""
    if not torch.cuda.is_available():
        raise ParallelismError(f"{what} needs GPUs: on CPUs use parallelism=fsdp2 over all ranks")


def _copies(shard_over: int | None) -> int | None:
    """Copies of the model that all ranks hold together; None for one."""
    ranks = dist.get_world_size()
    if shard_over is None or shard_over == ranks:
        return None
    if ranks % shard_over:
        raise ParallelismError(f"shard_over={shard_over} does not divide the {ranks} ranks: choose a divisor")
    return ranks // shard_over


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
