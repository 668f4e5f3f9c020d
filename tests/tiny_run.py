"""A tiny run in real processes: what tests of whole runs start with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from recipe.checkpoint import latest_checkpoint, read_checkpoint
from tests.tiny_backbones import tiny_backbones

MINIATURE_TASKS = ("cola", "mnli", "cb", "copa", "arc_easy", "squad", "hotpot_qa", "aeslc", "xsum")
ROOT = Path(__file__).parents[1]
ENCODER_TASKS = [key for key in MINIATURE_TASKS if key not in ("aeslc", "xsum")]
TINY = tiny_backbones(longest_row=128)


def launch(path: Path, *overrides: str, ranks: int = 1) -> subprocess.Popen[str]:
    launcher = [sys.executable, "-m", "composer.cli.launcher", "-n", str(ranks)]
    return start_process([*launcher, "recipe/train.py", str(path), *overrides])


def run(path: Path, *overrides: str, ranks: int = 1) -> str:
    return _finish(launch(path, *overrides, ranks=ranks))


def kill_run(launcher: subprocess.Popen[str]) -> None:
    """SIGKILL for the ranks first, so that the launcher cannot end them gently."""
    children = subprocess.run(["pgrep", "-P", str(launcher.pid)], text=True, capture_output=True).stdout.split()
    for pid in (*map(int, children), launcher.pid):
        os.kill(pid, signal.SIGKILL)
    launcher.communicate()


def train_with_sgd(path: Path, ranks: int) -> None:
    """A run under plain SGD, as Adam would hide gradients of another scale; its first weights are kept as start.pt."""
    launcher = ["-m", "composer.cli.launcher", "-n", str(ranks)] if ranks > 1 else []  # it takes seconds to import
    _finish(start_process([sys.executable, *launcher, "tests/recipe/train_with_sgd.py", str(path)]))


def start_process(command: list[str], environment: Mapping[str, str] = os.environ) -> subprocess.Popen[str]:
    """A command in the repository's root with one thread a process; its output can be read, errors among it."""
    own = {**environment, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=own, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


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
