"""The planning tool: what it promises for the published datasets, and what it says about a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from recipe.config import BackboneConfig, TrainConfig
from recipe.data.batch_plan import PlanSettings, Strategy
from recipe.data.simulate.__main__ import main
from recipe.data.simulate.lengths import Lengths, published_lengths
from recipe.data.simulate.memory import backbone_shape
from recipe.data.simulate.outcome import Outcome, simulate_fixed, simulate_strategy
from recipe.tasks.catalogue import PREFINETUNE_TASKS, get_task
from tests.processes import ROOT
from tests.tiny_backbones import tiny_backbones

ENCODER_TASKS = [key for key in PREFINETUNE_TASKS if not get_task(key).needs_decoder]


@pytest.fixture(scope="module")
def published() -> Lengths:
    return published_lengths(ENCODER_TASKS, encoder_decoder=False, max_length=512, origin="published")


def outcome(lengths: Lengths, strategy: Strategy, step_examples: int, budget: int = 32768) -> Outcome:
    return simulate_strategy(lengths, PlanSettings(strategy, step_examples, budget, seed=17), ranks=64, sample=6)


@pytest.mark.parametrize(
    ("strategy", "step_examples", "useful"),
    [(Strategy.MIXED, 2048, 0.92), (Strategy.MIXED, 8192, 0.96), (Strategy.HETEROGENEOUS, 8192, 0.70)],
)
def test_64_ranks_do_that_much_useful_work_on_the_published_datasets(strategy, step_examples, useful, published):
    assert outcome(published, strategy, step_examples).useful >= useful


TINY = tiny_backbones(64)


@pytest.mark.parametrize("kind", TINY)
def test_every_kind_of_backbone_has_a_shape(kind: str):
    config = TrainConfig("x", backbone=BackboneConfig(config=dict(TINY[kind])), tasks=["rte"])
    shape = backbone_shape(config)
    assert shape is not None and (shape.hidden, shape.layers) == (32, 2)
    assert shape.encoder_decoder == (kind in ("bart", "pegasus", "t5"))


def test_fixed_batches_waste_most_of_the_devices(published):
    fixed = simulate_fixed(published, PlanSettings(Strategy.MIXED, 2048, 32768, seed=17), ranks=64, sample=32)
    assert fixed.useful < 0.25
    assert fixed.step_examples == pytest.approx(2048, rel=0.02)


def test_every_prefinetuning_task_has_published_lengths_with_the_stated_mean():
    lengths = published_lengths(PREFINETUNE_TASKS, encoder_decoder=True, max_length=100_000, origin="published")
    assert lengths.tasks == list(PREFINETUNE_TASKS)
    own = lengths.examples.encoder_tokens[lengths.examples.task == PREFINETUNE_TASKS.index("mnli")]
    assert len(own) == 392702
    assert own.mean() == pytest.approx(38.9, rel=0.01)
    generates = {PREFINETUNE_TASKS[task] for task in set(lengths.examples.task[lengths.examples.generates])}
    assert generates == {key for key in PREFINETUNE_TASKS if get_task(key).needs_decoder}


def test_a_node_downloads_what_its_examples_need():
    lengths = published_lengths(["cb", "mnli"], encoder_decoder=False, max_length=512, origin="published")
    everything = lengths.shard_bytes.sum()
    assert lengths.download(PlanSettings(Strategy.MIXED, 64, 4096, 1), nodes=4) == pytest.approx(everything)
    sharded = Lengths(
        lengths.examples,
        lengths.real_tokens,
        lengths.tasks,
        np.array([0, 1, 1]),
        np.array([250, 1, 392701]),
        np.array([0.0, 1.0, 0.0]),
        "a shard of one example",
    )
    assert sharded.download(PlanSettings(Strategy.MIXED, 64, 4096, 1), nodes=4) == pytest.approx(0.25)


def test_a_store_is_simulated_with_all_strategies_and_plotted(run_yaml: Path, tmp_path: Path, capsys):
    plot = tmp_path / "plan.png"
    assert main([str(run_yaml), "--ranks", "2", "data.step_examples=32", "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out
    assert f"stored in {yaml.safe_load(run_yaml.read_text())['data']['store']}" in "".join(shown.splitlines())
    for name in ("mixed", "heterogeneous", "batch homogeneous", "dataset homogeneous", "fixed batches"):
        assert name.split()[-1] in shown
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_planned_is_named_with_the_fix(capsys):
    demo = str(ROOT / "yamls" / "demo.yaml")
    assert main([demo, "data.store=nowhere", "data.token_budget=100"]) == 2
    assert "data.token_budget=100 is smaller than an example" in capsys.readouterr().err
    enough = ["data.step_examples=2048", "data.token_budget=4096"]
    assert main([demo, "data.store=nowhere", *enough, "--ranks", "300", "--sample", "2"]) == 0
    assert "batch_homogeneous: data.step_examples" in " ".join(capsys.readouterr().out.split())
