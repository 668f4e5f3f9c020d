"""Whole runs: ranks agree with one process, every strategy and every shipped recipe trains."""

from __future__ import annotations

import gc
import math

import pytest
import torch
import yaml

from recipe.checkpoint import read_checkpoint
from recipe.config import load_config
from recipe.data.batch_plan import Strategy, Weighting
from recipe.data.store import ShardStore
from recipe.models import BackboneError, MultitaskModel
from recipe.train import train
from tests.processes import ROOT
from tests.tiny_run import (
    MINIATURE_TASKS,
    TINY,
    final_weights,
    tasks_of,
    train_with_sgd,
    training_losses,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "strategy", "balancing"),
    [
        ("bart", "mixed", "none"),
        ("roberta", "heterogeneous", "uncertainty"),
        ("roberta", "batch_homogeneous", "none"),
        ("bart", "dataset_homogeneous", "none"),
    ],
)
def test_one_process_ddp_and_fsdp2_end_with_the_same_weights(run_yaml, tmp_path, backbone, strategy, balancing):
    """Without dropout, because ranks draw other masks."""
    ends = {}
    for name, ranks, parallelism in (("one", 1, "ddp"), ("ddp", 2, "ddp"), ("fsdp2", 2, "fsdp2")):
        config = yaml.safe_load(run_yaml.read_text())
        config |= {"run_name": name, "parallelism": parallelism, "max_duration": "3ba"}
        config["backbone"] |= {"config": TINY[backbone], "dropout": 0.0}
        config["data"]["strategy"] = strategy
        config["algorithms"] = {"balancing": balancing}
        config["tasks"] = tasks_of(backbone)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        train_with_sgd(path, ranks)
        ends[name] = final_weights(tmp_path / "runs" / name)
    start = torch.load(tmp_path / "runs" / "one" / "start.pt", weights_only=True)
    moved = max((ends["one"][name] - start[name]).abs().max().item() for name in start)
    assert moved > 1e-3, "the runs must have learned something for their agreement to mean anything"
    for other in ("ddp", "fsdp2"):
        assert ends["one"].keys() == ends[other].keys()
        for name, value in ends["one"].items():
            torch.testing.assert_close(ends[other][name], value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.slow
def test_fsdp1_ends_with_the_same_weights_where_cpus_stand_in_for_gpus(run_yaml, tmp_path):
    """With sharded checkpoints."""
    fsdp1 = {"parallelism": "fsdp1", "sharded_checkpoints": True}
    ends = {}
    for name, ranks, changes in (("one", 1, {}), ("two", 2, fsdp1)):
        config = yaml.safe_load(run_yaml.read_text())
        config |= {"run_name": name, "max_duration": "3ba", **changes}
        config["backbone"]["dropout"] = 0.0
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(config))
        train_with_sgd(path, ranks)
        ends[name] = final_weights(tmp_path / "runs" / name)
    assert (tmp_path / "runs" / "two" / "checkpoints" / "ep0-ba3" / ".metadata").is_file()
    for name, value in ends["one"].items():
        torch.testing.assert_close(ends["two"][name], value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("strategy", [strategy.value for strategy in Strategy])
def test_every_strategy_trains_with_either_weighting_into_a_second_epoch(run_yaml, strategy):
    overrides = [f"data.strategy={strategy}", "data.max_steps_per_epoch=2", "max_duration=3ba", "eval_interval=9ep"]
    for weighting in Weighting:
        folder = train(
            load_config(run_yaml, [*overrides, f"data.weighting={weighting.value}", f"run_name={weighting.value}"])
        )
        losses = training_losses(folder.path)
        assert len(losses) == 3 and all(math.isfinite(loss) for _, loss in losses)


def test_a_run_that_is_over_keeps_neither_model_nor_data(run_yaml):
    def kept() -> int:
        gc.collect()
        return sum(type(one) in (MultitaskModel, ShardStore) for one in gc.get_objects())

    before = kept()
    train(load_config(run_yaml, ["max_duration=1ba"]))
    assert kept() == before


@pytest.mark.parametrize("backbone", ["roberta", "bart", "modernbert"])
def test_activation_checkpointing_changes_nothing_that_is_learned(run_yaml, tmp_path, backbone):
    """With dropout and R3F: both forwards are computed again with the masks and the noise of the first time."""
    config = yaml.safe_load(run_yaml.read_text())
    config["backbone"] |= {"config": TINY[backbone], "dropout": 0.1}
    run_yaml.write_text(yaml.safe_dump(config))
    ends = []
    for switch in ("false", "true"):
        overrides = ["max_duration=3ba", "eval_interval=9ep", f"run_name=recomputes-{switch}"]
        train(load_config(run_yaml, [*overrides, f"activation_checkpointing={switch}"]))
        ends.append(final_weights(tmp_path / "runs" / f"recomputes-{switch}"))
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_activations_that_cannot_be_computed_again_are_an_error_with_the_fix(run_yaml):
    config = load_config(run_yaml, ["activation_checkpointing=true"])
    config.backbone.config = TINY["xlnet"]
    with pytest.raises(BackboneError, match=r"xlnet.*activation_checkpointing=false"):
        train(config)


SHIPPED = sorted(path for pattern in ("*.yaml", "tartan/*.yaml") for path in (ROOT / "yamls").glob(pattern))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_yaml_trains_with_a_tiny_backbone(path, tmp_path, miniature_store, tiny_tokenizer_folder):
    kind = next((kind for kind in TINY if kind.split("-")[0] in path.stem.split("_")), "roberta")
    config = yaml.safe_load(path.read_text())
    config["backbone"] = {"config": TINY[kind], "tokenizer": tiny_tokenizer_folder}
    if tartan := config.get("algorithms", {}).get("tartan"):
        config["tasks"] = [key.replace(tartan["end_task"], "cola") for key in config["tasks"]]
        tartan |= {"end_task": "cola", "head_examples": 8, "examples": 8}
    there = (*MINIATURE_TASKS, "tapt_cola")
    config["tasks"] = list(dict.fromkeys(key for key in config["tasks"] if key in there)) or ["cola"]
    config["data"]["store"] = miniature_store
    config["logging"] = {"progress_bar": False, "tensorboard": False}
    config |= {"runs": str(tmp_path), "max_duration": "2ba", "eval_interval": "2ba"}
    config["data"] |= {"step_examples": 24, "max_validation_examples": 4}
    changed = tmp_path / path.name
    changed.write_text(yaml.safe_dump(config))
    train(load_config(changed))
    assert read_checkpoint(tmp_path / config["run_name"] / "checkpoints" / "best-rank0.pt").batch == 2
