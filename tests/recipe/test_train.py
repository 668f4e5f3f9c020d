"""Whole runs in real processes: ranks agree, a killed run resumes bit by bit, every recipe trains, bad input stops."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from recipe.checkpoint import latest_checkpoint, read_checkpoint
from recipe.config import load_config
from recipe.data.batch_plan import Strategy, Weighting
from recipe.train import train
from tests.tiny_run import ENCODER_TASKS, MINIATURE_TASKS, ROOT, TINY, final_weights, launch, run


@pytest.mark.slow
def test_a_run_killed_in_mid_epoch_and_resumed_ends_bitwise_as_an_uninterrupted_one(run_yaml, tmp_path):
    overrides = ("save_interval=2ba", "max_duration=8ba", "keep_checkpoints=-1")
    run(run_yaml, *overrides, "run_name=whole")

    killed = tmp_path / "runs" / "killed"
    process = launch(run_yaml, *overrides, "run_name=killed")
    _wait_for_checkpoint(killed / "checkpoints", process)
    _kill_all(process)
    stopped_at = latest_checkpoint(killed / "checkpoints")
    assert stopped_at is not None and read_checkpoint(stopped_at).batch < 8
    run(run_yaml, *overrides, "run_name=killed")

    whole, resumed = final_weights(tmp_path / "runs" / "whole"), final_weights(killed)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert _losses(tmp_path / "runs" / "whole") == _losses(killed)


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_the_same_command_finishes(run_yaml, tmp_path):
    folder = tmp_path / "runs" / "tiny"
    process = launch(run_yaml, "max_duration=400ba", "save_interval=1000ba")
    _wait_for(lambda: (folder / "metrics.jsonl").is_file() and len(_losses(folder)) > 1, process)
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
@pytest.mark.parametrize("backbone", ["roberta", "bart"])
def test_one_process_ddp_and_fsdp2_end_with_the_same_weights(run_yaml, tmp_path, backbone):
    """SGD, because Adam would hide gradients of another scale; no dropout, because ranks draw other masks."""
    script = [sys.executable, "-m", "composer.cli.launcher"]
    ends = {}
    for name, ranks, parallelism in (("one", 1, "ddp"), ("ddp", 2, "ddp"), ("fsdp2", 2, "fsdp2")):
        config = yaml.safe_load(run_yaml.read_text())
        config |= {"run_name": name, "parallelism": parallelism, "max_duration": "3ba"}
        config["backbone"] |= {"config": TINY[backbone], "dropout": 0.0}
        config["tasks"] = list(MINIATURE_TASKS) if backbone == "bart" else ENCODER_TASKS
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        done = subprocess.run(
            [*script, "-n", str(ranks), "tests/recipe/train_with_sgd.py", str(path)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
            capture_output=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        ends[name] = final_weights(tmp_path / "runs" / name)
    start = torch.load(tmp_path / "runs" / "one" / "start.pt", weights_only=True)
    moved = max((ends["one"][name] - start[name]).abs().max().item() for name in start)
    assert moved > 1e-3, "the runs must have learned something for their agreement to mean anything"
    for other in ("ddp", "fsdp2"):
        assert ends["one"].keys() == ends[other].keys()
        for name, value in ends["one"].items():
            torch.testing.assert_close(ends[other][name], value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("strategy", [strategy.value for strategy in Strategy])
def test_every_strategy_trains_with_either_weighting_into_a_second_epoch(run_yaml, strategy):
    overrides = [f"data.strategy={strategy}", "data.max_steps_per_epoch=2", "max_duration=3ba", "eval_interval=9ep"]
    for weighting in Weighting:
        folder = train(
            load_config(run_yaml, [*overrides, f"data.weighting={weighting.value}", f"run_name={weighting.value}"])
        )
        losses = _losses(folder.path)
        assert len(losses) == 3 and all(math.isfinite(loss) for _, loss in losses)


@pytest.mark.parametrize("path", sorted((ROOT / "yamls").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_yaml_trains_with_a_tiny_backbone(path, tmp_path, miniature_store, tiny_tokenizer_folder):
    kind = "bart" if "bart" in path.stem else "roberta"
    config = yaml.safe_load(path.read_text())
    config["backbone"] = {"config": TINY[kind], "tokenizer": tiny_tokenizer_folder}
    config["tasks"] = [key for key in config["tasks"] if key in MINIATURE_TASKS] or ["cola"]
    config["data"]["store"] = miniature_store
    config["logging"] = {"progress_bar": False, "tensorboard": False}
    config |= {"runs": str(tmp_path), "max_duration": "2ba", "eval_interval": "2ba"}
    config["data"] |= {"step_examples": 24, "max_validation_examples": 4}
    changed = tmp_path / path.name
    changed.write_text(yaml.safe_dump(config))
    train(load_config(changed))
    assert read_checkpoint(tmp_path / config["run_name"] / "checkpoints" / "best-rank0.pt").batch == 2


def _losses(folder: Path) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss/train/total"]) for record in records if "loss/train/total" in record]


def _wait_for_checkpoint(folder: Path, process: subprocess.Popen[str]) -> None:
    _wait_for(lambda: latest_checkpoint(folder) is not None, process)


def _wait_for(condition, process: subprocess.Popen[str], timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "the run did not come so far"
        time.sleep(0.05)


def _kill_all(launcher: subprocess.Popen[str]) -> None:
    """SIGKILL for the ranks first, so that the launcher cannot end them gently."""
    children = subprocess.run(["pgrep", "-P", str(launcher.pid)], text=True, capture_output=True).stdout.split()
    for pid in (*map(int, children), launcher.pid):
        os.kill(pid, signal.SIGKILL)
    launcher.communicate()
