"""A tiny run in real processes: what tests of whole runs start with."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from recipe.checkpoint import latest_checkpoint, read_checkpoint
from recipe.models.backbone import ENCODER_DECODERS, SUMMARIZERS
from tests.processes import Forked, run_forked, run_ranks
from tests.tiny_backbones import tiny_backbones

MINIATURE_TASKS = ("cola", "mnli", "cb", "copa", "arc_easy", "squad", "hotpot_qa", "aeslc", "xsum")
SUMMARIES = ("aeslc", "xsum")
ENCODER_TASKS = [key for key in MINIATURE_TASKS if key not in SUMMARIES]
TINY = tiny_backbones(longest_row=128)


def tasks_of(kind: str) -> list[str]:
    """What a backbone of this kind learns of ``MINIATURE_TASKS``."""
    if kind in SUMMARIZERS:
        return list(SUMMARIES)
    return list(MINIATURE_TASKS) if kind in ENCODER_DECODERS else ENCODER_TASKS


def start_run(path: Path, *overrides: str) -> Forked:
    return Forked("recipe/train.py", str(path), *overrides)


def run(path: Path, *overrides: str) -> str:
    return run_forked("recipe/train.py", str(path), *overrides)


def train_with_sgd(path: Path, ranks: int) -> None:
    """A run under plain SGD, as Adam would hide gradients of another scale; its first weights are kept as start.pt."""
    run_ranks("tests/recipe/train_with_sgd.py", str(path), ranks=ranks)


def training_losses(folder: Path) -> list[tuple[int, float]]:
    """Step and loss, as a run recorded them."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss/train/total"]) for record in records if "loss/train/total" in record]


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    return read_checkpoint(checkpoint).weights
