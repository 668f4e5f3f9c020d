"""``recipe/train.py`` with plain SGD: what comparing distributed runs needs. Saves the first weights as start.pt."""

import sys
from pathlib import Path

import torch
from composer.utils import dist

import recipe.distributed
import recipe.train
from recipe.callbacks.aggregate import BestCheckpoint
from recipe.config import Parallelism, load_config
from recipe.models import MultitaskModel, build_model


def build_and_keep(config, tokenizer, labels) -> MultitaskModel:
    model = build_model(config, tokenizer, labels)
    if dist.get_global_rank() == 0:
        start = {name: value.clone() for name, value in model.network.state_dict().items()}
        torch.save(start, Path(config.runs) / config.run_name / "start.pt")
    return model


def stand_in_for_gpus() -> None:
    """What FSDP1 needs of a GPU: a device's name.

    Its whole weights cannot be gathered on CPUs (the process crashes), so it has no best checkpoint here.
    """
    recipe.distributed._require_gpus = lambda what: None
    torch.cuda.current_device = lambda: torch.device("cpu")  # pyright: ignore[reportAttributeAccessIssue]
    BestCheckpoint.eval_after_all = lambda self, state, logger: None


if __name__ == "__main__":
    recipe.train.build_model = build_and_keep
    recipe.train.build_optimizer = lambda model, config: torch.optim.SGD(model.parameters(), lr=0.5)
    loaded = load_config(sys.argv[1])
    if loaded.parallelism is Parallelism.fsdp1:
        stand_in_for_gpus()
    recipe.train.train(loaded)
