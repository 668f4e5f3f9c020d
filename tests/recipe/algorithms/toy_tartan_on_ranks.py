"""META-TARTAN on the toy, by as many ranks as there are: weights go to ``<folder>/<parallelism>-<similarity>.pt``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from composer.core import Algorithm
from composer.utils import dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from recipe.algorithms.tartan import MetaTartan
from recipe.config import Parallelism, TrainConfig
from recipe.distributed import GlooShardedMean, initialize_ranks, parallelism_config
from tests.recipe.algorithms.toy_tasks import Example, ToyBatches, ToyModel, cut, fit_toy, meta_tartan, toy_examples

TASKS = ("end", "helps", "other")
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


def train_toy(
    lay_out: LayOut, similarity: Any, parallelism: Parallelism = Parallelism.ddp
) -> tuple[ToyModel, MetaTartan]:
    model = ToyModel(TASKS)
    development = toy_examples(["end"], 40, seed=2)
    batches = ToyBatches(development, rank=dist.get_global_rank(), ranks=dist.get_world_size())
    meta = meta_tartan(model, TASKS, batches, similarity=similarity, lr=0.5)
    algorithms: list[Algorithm] = [meta, *([GlooShardedMean()] if GlooShardedMean.needed(parallelism) else [])]
    sharding = parallelism_config(TrainConfig(parallelism=parallelism))
    fit_toy(model, [lay_out(step) for step in pieces()], lambda: algorithms, parallelism_config=sharding)
    return model, meta


def main(folder: Path) -> None:
    initialize_ranks()
    for parallelism, similarity in (
        (Parallelism.ddp, "cosine"),
        (Parallelism.ddp, "dot"),
        (Parallelism.fsdp2, "cosine"),
    ):
        model, meta = train_toy(own, similarity, parallelism)
        options = StateDictOptions(full_state_dict=True)
        state = {"weights": meta.weights, **get_model_state_dict(model.network, options=options)}
        torch.save(state, folder / f"{parallelism.value}-{similarity}.pt-{dist.get_global_rank()}")
        if dist.get_global_rank() == 0:
            Path(f"{folder}/{parallelism.value}-{similarity}.pt-0").rename(
                folder / f"{parallelism.value}-{similarity}.pt"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
