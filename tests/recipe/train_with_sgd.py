"""``recipe/train.py`` with plain SGD: what comparing distributed runs needs. Saves the first weights as start.pt."""

import sys
from pathlib import Path

import torch
from composer.utils import dist

import recipe.train
from recipe.config import load_config
from recipe.models import MultitaskModel, build_model


def build_and_keep(config, tokenizer) -> MultitaskModel:
    model = build_model(config, tokenizer)
    if dist.get_global_rank() == 0:
        start = {name: value.clone() for name, value in model.network.state_dict().items()}
        torch.save(start, Path(config.runs) / config.run_name / "start.pt")
    return model


if __name__ == "__main__":
    recipe.train.build_model = build_and_keep
    recipe.train.build_optimizer = lambda model, config: torch.optim.SGD(model.parameters(), lr=0.5)
    recipe.train.train(load_config(sys.argv[1]))
