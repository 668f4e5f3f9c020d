"""What weighs tasks, on the toy, by as many ranks as there are: weights go to ``<folder>/<parallelism>-<name>.pt``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from composer.core import Algorithm
from composer.utils import dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from recipe.algorithms.balancing import (
    DynamicWeightAverage,
    InverseLossWeighting,
    LossBalancing,
    UncertaintyWeighting,
)
from recipe.config import Parallelism, TrainConfig
from recipe.distributed import GlooShardedMean, initialize_ranks, parallelism_config
from tests.recipe.algorithms.toy_tasks import (
    Example,
    ToyBatches,
    ToyModel,
    cut,
    fit_toy,
    meta_tartan,
    toy_examples,
    toy_losses,
)

TASKS = ("end", "helps", "other")
WEIGHTINGS = (
    ("ddp", "cosine"),
    ("ddp", "dot"),
    ("fsdp2", "cosine"),
    ("ddp", "inverse_loss"),
    ("ddp", "dwa"),
    ("ddp", "uncertainty"),
)
LayOut = Callable[[list[list[Example]]], list[dict[str, Any]]]  # a step's pieces to its microbatches


def pieces() -> list[list[list[Example]]]:
    """Four steps of four pieces: two microbatches of two ranks each. Not every piece has every task."""
    examples = toy_examples(TASKS, 32)
    return [
        [examples[s : s + 7], examples[s + 7 : s + 12], examples[s + 12 : s + 13], examples[s + 13 : s + 20]]
        for s in range(0, 80, 20)
    ]


def in_turn(step: list[list[Example]]) -> list[dict[str, Any]]:
    return [microbatch for piece in step for microbatch in cut(piece, [len(piece)])]


def joined(step: list[list[Example]]) -> list[dict[str, Any]]:
    """What all ranks have at a time, in one."""
    return in_turn([step[0] + step[1], step[2] + step[3]])


def own(step: list[list[Example]]) -> list[dict[str, Any]]:
    return in_turn(step[dist.get_global_rank() :: dist.get_world_size()])


def build_weighting(name: str, model: ToyModel) -> LossBalancing:
    """META-TARTAN by a similarity, or a way of balancing."""
    if name == "inverse_loss":
        return InverseLossWeighting(toy_losses, TASKS)
    if name == "dwa":
        return DynamicWeightAverage(toy_losses, TASKS, steps=1)
    if name == "uncertainty":
        return UncertaintyWeighting(lambda outputs: outputs[0]["log_variances"], TASKS)
    development = toy_examples(["end"], 40, seed=2)
    batches = ToyBatches(development, rank=dist.get_global_rank(), ranks=dist.get_world_size())
    return meta_tartan(model, TASKS, batches, similarity=name, lr=0.5)


def train_toy(lay_out: LayOut, name: str, parallelism: Parallelism = Parallelism.ddp) -> tuple[ToyModel, LossBalancing]:
    model = ToyModel(TASKS)
    weighting = build_weighting(name, model)
    algorithms: list[Algorithm] = [weighting, *([GlooShardedMean()] if GlooShardedMean.needed(parallelism) else [])]
    sharding = parallelism_config(TrainConfig(parallelism=parallelism))
    fit_toy(model, [lay_out(step) for step in pieces()], lambda: algorithms, parallelism_config=sharding)
    return model, weighting


def main(folder: Path) -> None:
    initialize_ranks()
    for parallelism, name in WEIGHTINGS:
        model, weighting = train_toy(own, name, Parallelism(parallelism))
        options = StateDictOptions(full_state_dict=True)
        state = {"weights": weighting.weights, **get_model_state_dict(model.network, options=options)}
        if dist.get_global_rank() == 0:
            torch.save(state, folder / f"{parallelism}-{name}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
