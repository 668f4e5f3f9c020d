"""Heads that a step has no example for stay as they are, under an optimizer with momentum and weight decay."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from recipe.config import load_config
from recipe.train import train

OVERRIDES = ("data.strategy=batch_homogeneous", "max_duration=6ba", "save_interval=1ba", "keep_checkpoints=-1")


def test_only_busy_heads_change_and_a_run_resumes_before_all_were_busy(run_yaml):
    config = load_config(run_yaml, [*OVERRIDES, "eval_interval=9ep", "optimizer.weight_decay=0.1"])
    checkpoints = train(config).checkpoints
    steps = [_heads(checkpoints / f"ep0-ba{step}-rank0.pt") for step in range(1, 7)]
    changed = [{key for key in before if not _equal(before[key], after[key])} for before, after in pairwise(steps)]
    assert all(len(keys) == 1 for keys in changed), "a step of one task changes one head, moments and all"
    assert len(set.union(*changed)) > 2

    for step in range(2, 7):
        (checkpoints / f"ep0-ba{step}-rank0.pt").unlink()
    (checkpoints / "best-rank0.pt").unlink(missing_ok=True)
    train(config)
    resumed = _heads(checkpoints / "ep0-ba6-rank0.pt")
    assert all(_equal(resumed[key], steps[-1][key]) for key in resumed)


def _heads(checkpoint: Path) -> dict[str, list[torch.Tensor]]:
    """Weights and optimizer state of each head."""
    state = torch.load(checkpoint, weights_only=False)["state"]
    optimizer = state["optimizers"]["AdamW"]["state"]
    heads: dict[str, list[Any]] = {}
    for name, value in state["model"].items():
        if name.startswith("network.heads."):
            heads.setdefault(name.split(".")[2], []).extend([value, *optimizer[name].values()])
    return heads


def _equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
