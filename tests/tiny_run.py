"""A tiny run in real processes: what tests of whole runs start with."""

from __future__ import annotations

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
    command = [
        sys.executable,
        "-m",
        "composer.cli.launcher",
        "-n",
        str(ranks),
        "recipe/train.py",
        str(path),
        *overrides,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def run(path: Path, *overrides: str, ranks: int = 1) -> str:
    process = launch(path, *overrides, ranks=ranks)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None
    return read_checkpoint(checkpoint).weights
