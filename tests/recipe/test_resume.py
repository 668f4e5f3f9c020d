"""Runs that are interrupted and continued: killed, stopped by hand, gone on with on another number of ranks."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from recipe.checkpoint import BEST, checkpoint_batch, complete_checkpoints, latest_checkpoint, read_checkpoint
from tests.processes import start_process
from tests.tiny_run import final_weights, run, start_run, train_with_sgd, training_losses

KILLS = int(os.environ.get("KILLS", "2"))  # 20 is a good number for an idle afternoon


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_bitwise_as_an_uninterrupted_one(run_yaml, tmp_path):
    """A checkpoint a step, so that some of the kills hit one that is being written; several epochs."""
    overrides = ("save_interval=1ba", f"max_duration={6 * KILLS + 4}ba", "eval_interval=99ep")
    run(run_yaml, *overrides, "run_name=whole")

    killed, moment = tmp_path / "runs" / "killed", random.Random(0)
    for _ in range(KILLS):
        process, done = start_run(run_yaml, *overrides, "run_name=killed"), _steps(killed)
        while _steps(killed) <= done:
            assert process.poll() is None, process.output
            time.sleep(0.02)
        time.sleep(moment.uniform(0, 0.3))
        process.kill()
    run(run_yaml, *overrides, "run_name=killed")

    whole, resumed = final_weights(tmp_path / "runs" / "whole"), final_weights(killed)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert training_losses(tmp_path / "runs" / "whole") == training_losses(killed)


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(run_yaml, tmp_path):
    folder = tmp_path / "runs" / "tiny"
    launcher = [sys.executable, "-m", "composer.cli.launcher", "-n", "1", "recipe/train.py"]
    process = start_process([*launcher, str(run_yaml), "max_duration=400ba", "save_interval=1000ba"])
    while not (folder / "metrics.jsonl").is_file() or len(training_losses(folder)) < 2:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "run the same command to go on" in output
    assert 'recipe/train.py", line' not in output, "the launcher may show its own interruption, but not the run's"
    saved = latest_checkpoint(folder / "checkpoints")
    assert saved is not None
    done = read_checkpoint(saved).batch
    run(run_yaml, f"max_duration={done + 2}ba", "save_interval=1000ba")
    finished = latest_checkpoint(folder / "checkpoints")
    assert finished is not None and read_checkpoint(finished).batch == done + 2


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["full", "sharded"])
def test_a_run_goes_on_with_the_same_steps_on_another_number_of_ranks(run_yaml, tmp_path, sharded):
    """One rank, two, one again: same examples in every step, so (SGD, no dropout, no noise) the same weights."""
    whole = _configure(run_yaml, tmp_path, "whole")
    train_with_sgd(whole, ranks=1)
    kind = {"parallelism": "fsdp2", "sharded_checkpoints": True} if sharded else {}
    elastic = _configure(run_yaml, tmp_path, "elastic", **kind)
    checkpoints = tmp_path / "runs" / "elastic" / "checkpoints"
    for ranks, until in ((1, 2), (2, 4), (1, 6)):
        train_with_sgd(elastic, ranks)
        for checkpoint in complete_checkpoints(checkpoints):
            if (checkpoint_batch(checkpoint.name) or 0) > until:
                shutil.rmtree(checkpoint) if sharded else checkpoint.unlink()
    one, other = final_weights(tmp_path / "runs" / "whole"), final_weights(tmp_path / "runs" / "elastic")
    best = read_checkpoint(checkpoints / BEST).weights
    assert one.keys() == other.keys() == best.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def _configure(run_yaml: Path, folder: Path, name: str, **changes: Any) -> Path:
    config = yaml.safe_load(run_yaml.read_text())
    config |= {"run_name": name, "max_duration": "6ba", "save_interval": "2ba", "keep_checkpoints": -1, **changes}
    config["backbone"]["dropout"] = 0.0
    config["algorithms"] = {"r3f": {"enabled": False}}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _steps(folder: Path) -> int:
    """What the latest complete checkpoint has behind it."""
    checkpoint = latest_checkpoint(folder / "checkpoints")
    return 0 if checkpoint is None else checkpoint_batch(checkpoint.name) or 0
