"""A tiny run in real processes: what tests of whole runs start with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from recipe.checkpoint import latest_checkpoint, read_checkpoint

MINIATURE_TASKS = ("cola", "mnli", "cb", "copa", "arc_easy", "squad", "hotpot_qa", "aeslc", "xsum")
ROOT = Path(__file__).parents[1]
ENCODER_TASKS = [key for key in MINIATURE_TASKS if key not in ("aeslc", "xsum")]
TINY = {
    "roberta": {
        "model_type": "roberta",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 130,
    },
    "modernbert": {
        "model_type": "modernbert",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
    },
    "deberta": {
        "model_type": "deberta-v2",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "type_vocab_size": 0,
    },
    "bart": {
        "model_type": "bart",
        "d_model": 32,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
        "max_position_embeddings": 128,
    },
}


def launch(path: Path, *overrides: str, ranks: int = 1) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "composer.cli.launcher", "-n", str(ranks)]
    return _start([*launcher, "recipe/train.py", str(path), *overrides])


def run(path: Path, *overrides: str, ranks: int = 1) -> str:
    return _finish(launch(path, *overrides, ranks=ranks))


def train_with_sgd(path: Path, ranks: int) -> None:
    """A run under plain SGD, as Adam would hide gradients of another scale; its first weights are kept as start.pt."""
    launcher = ["-m", "composer.cli.launcher", "-n", str(ranks)] if ranks > 1 else []  # it takes seconds to import
    _finish(_start([sys.executable, *launcher, "tests/recipe/train_with_sgd.py", str(path)]))


def _start(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def _finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def training_losses(folder: Path) -> list[tuple[int, float]]:
    """Step and loss, as a run recorded them."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss/train/total"]) for record in records if "loss/train/total" in record]


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    return read_checkpoint(checkpoint).weights
