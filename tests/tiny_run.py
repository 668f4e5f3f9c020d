"""A tiny run, in this process or in real ones: what tests of whole runs start with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from recipe.checkpoint import latest_checkpoint, read_checkpoint
from recipe.config import load_config
from recipe.data.tokenizer import load_tokenizer
from recipe.models.backbone import ENCODER_DECODERS, SUMMARIZERS, build_backbone
from recipe.train import train
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


def save_tiny(folder: Path, tokenizer_folder: str) -> Path:
    """A small RoBERTa with random weights and its tokenizer, as a pretrained model's folder."""
    tokenizer = load_tokenizer(tokenizer_folder)
    build_backbone(TINY["roberta"], tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_tiny_study(root: Path, tokenizer_folder: str, store: str, **keys: Any) -> Path:
    """The YAML of a study: pre-finetuning on one and on two tasks, two steps each, compared on CB.

    Args:
        root: Folder of the backbone, the base's YAML and this one.
        tokenizer_folder: Of the tokenizer.
        store: With CB and COPA.
        keys: Others of the study, its name among them.
    """
    data = {"store": store, "step_examples": 16, "token_budget": 2048, "max_validation_examples": 8}
    base = {
        "backbone": {"name": str(save_tiny(root / "plain", tokenizer_folder))},
        "tasks": ["cb", "copa"],
        "data": data,
        "max_duration": "2ba",
        "logging": {"tensorboard": False, "progress_bar": False},
    }
    study = {
        "base": str(root / "base.yaml"),
        "nested_tasks": {"always": ["cb"], "sizes": [1, 2]},
        "evaluation": {
            "tasks": ["cb"],
            "seeds": [1],
            "search": {"lr": [1e-3]},
            "finetune": {"data": data, "max_duration": "2ba", "eval_interval": "1ba"},
        },
        **keys,
    }
    (root / "base.yaml").write_text(yaml.safe_dump(base))
    (root / "study.yaml").write_text(yaml.safe_dump(study))
    return root / "study.yaml"


def train_tiny(
    folder: Path,
    tokenizer_folder: str,
    tasks: Sequence[str],
    data: Mapping[str, Any],
    max_duration: str,
    kind: str = "roberta",
    **keys: Any,
) -> Path:
    """The folder of a run in this process.

    Args:
        folder: Of all runs; this one is ``tiny`` in it.
        tokenizer_folder: Of the tokenizer.
        tasks: Keys.
        data: The store and what else of ``data`` is said.
        max_duration: Of the run.
        kind: Of the backbone.
        keys: Others of the configuration.
    """
    config = {
        "run_name": "tiny",
        "runs": str(folder),
        "backbone": {"config": TINY[kind], "tokenizer": tokenizer_folder},
        "tasks": list(tasks),
        "data": {"token_budget": 2048, **data},
        "max_duration": max_duration,
        "logging": {"tensorboard": False, "progress_bar": False},
        **keys,
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return train(load_config(path)).path


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
