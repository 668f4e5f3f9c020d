"""``recipe/train.py`` with plain SGD: what comparing distributed runs needs. Saves the first weights as start.pt."""

import sys
from pathlib import Path

import torch
import torch.distributed
from composer.utils import dist

import recipe.callbacks.aggregate
import recipe.distributed
import recipe.train
from recipe.config import Parallelism, TrainConfig, load_config
from recipe.models import MultitaskModel, build_model


def build_and_keep(config, tokenizer) -> MultitaskModel:
    model = build_model(config, tokenizer)
    if dist.get_global_rank() == 0:
        start = {name: value.clone() for name, value in model.network.state_dict().items()}
        torch.save(start, Path(config.runs) / config.run_name / "start.pt")
    return model


def stand_in_for_gpus(config: TrainConfig) -> None:
    """What FSDP1 and copies of a sharded model need of GPUs: a device's name, and means that gloo sums instead.

    FSDP1's whole weights cannot be gathered on CPUs (the process crashes), so it has no best checkpoint here.
    """
    recipe.distributed._require_gpus = lambda what: None
    if config.parallelism is Parallelism.fsdp1:
        torch.cuda.current_device = lambda: torch.device("cpu")  # pyright: ignore[reportAttributeAccessIssue]
        recipe.callbacks.aggregate.BestCheckpoint.eval_after_all = lambda self, state, logger: None
    elif config.shard_over is not None:
        all_reduce = torch.distributed.all_reduce
        mean, total = torch.distributed.ReduceOp.AVG, torch.distributed.ReduceOp.SUM
        torch.distributed.all_reduce = lambda tensor, op=total, *rest, **options: all_reduce(
            tensor, total if op == mean else op, *rest, **options
        )


if __name__ == "__main__":
    recipe.train.build_model = build_and_keep
    recipe.train.build_optimizer = lambda model, config: torch.optim.SGD(model.parameters(), lr=0.5)
    loaded = load_config(sys.argv[1])
    stand_in_for_gpus(loaded)
    recipe.train.train(loaded)
