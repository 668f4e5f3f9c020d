"""Weights of the tasks' losses, against the same computed in plain PyTorch, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from composer import Algorithm
from torch import Tensor

from recipe.algorithms.balancing import (
    DatasetSizeWeighting,
    DynamicWeightAverage,
    InverseLossWeighting,
    LossBalancing,
    UncertaintyWeighting,
    dwa_weights,
    inverse_loss_weights,
    weigh_by_task,
)
from recipe.algorithms.log_n_scaling import LogNLossScaling
from recipe.checkpoint import latest_checkpoint, read_checkpoint
from recipe.config import Balancing, load_config
from recipe.data.tokenizer import load_tokenizer
from recipe.models.backbone import build_backbone
from recipe.models.network import MultitaskNetwork
from recipe.train import train
from tests.recipe.algorithms.toy_tasks import CLASSES, LEARNING_RATE, ToyModel, cut, fit_toy, toy_examples, toy_losses
from tests.tiny_run import TINY

TASKS = ("a", "b", "c")
SIZES = {"a": 10, "b": 20, "c": 60}
LOG_N = math.log(CLASSES)


@pytest.fixture
def steps() -> list[list[dict[str, Any]]]:
    """Five steps of nine examples in two microbatches; the third has no example of b."""
    examples = toy_examples(TASKS, 15)
    made = [examples[start : start + 9] for start in range(0, 45, 9)]
    made[2] = [example for example in made[2] if example[0] != "b"]
    return [cut(step, [4, len(step) - 4]) for step in made]


def by_hand(steps: list[list[dict[str, Any]]], name: str) -> tuple[ToyModel, Tensor]:
    """The model after SGD on the mean over examples of w_t L / log n, and the last weights w."""
    model = ToyModel(TASKS)
    weights, averages, history = torch.ones(3), [float("nan")] * 3, []
    for step in steps:
        task_losses: list[list[Tensor]] = [[], [], []]
        for microbatch in step:
            loss = model.loss(model(microbatch), microbatch) / LOG_N
            names = [s["task"] for s in microbatch["segments"] for _ in range(*s["examples"])]
            for task, value in zip(names, loss, strict=True):
                task_losses[TASKS.index(task)].append(value)
        count = sum(map(len, task_losses))
        total = torch.zeros(())
        for t, losses in enumerate(task_losses):
            for value in losses:
                if name == "uncertainty":
                    s = model.network.log_variances[t]
                    total = total + torch.exp(-s) * value + s / 2
                else:
                    total = total + (weights[t] if name != "dataset_size" else SIZES[TASKS[t]] / 30) * value
        model.zero_grad()
        (total / count).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= LEARNING_RATE * (0 if parameter.grad is None else parameter.grad)
        means = [sum(map(float, losses)) / len(losses) if losses else float("nan") for losses in task_losses]
        history.append(means)
        if name == "inverse_loss":
            for t, mean in enumerate(means):
                if not math.isnan(mean):
                    averages[t] = mean if math.isnan(averages[t]) else 0.9 * averages[t] + 0.1 * mean
            inverse = [1 / average for average in averages]
            weights = torch.tensor([3 * value / sum(inverse) for value in inverse])
        if name == "dwa" and len(history) > 1:
            ratios = [now / before for now, before in zip(history[-1], history[-2], strict=True)]
            exponentials = [math.exp((1.0 if math.isnan(ratio) else ratio) / 2) for ratio in ratios]
            weights = torch.tensor([3 * value / sum(exponentials) for value in exponentials])
    if name == "uncertainty":
        weights = torch.exp(-model.network.log_variances)
    return model, weights


def losses(outputs: Any, batch: Any) -> Tensor:
    return toy_losses(outputs, batch) / LOG_N


ALGORITHMS: dict[str, Callable[[], LossBalancing]] = {
    "none": lambda: LossBalancing(TASKS),
    "dataset_size": lambda: DatasetSizeWeighting(SIZES),
    "inverse_loss": lambda: InverseLossWeighting(losses, TASKS),
    "uncertainty": lambda: UncertaintyWeighting(lambda outputs: outputs[0]["log_variances"], TASKS),
    "dwa": lambda: DynamicWeightAverage(losses, TASKS, steps=1),
}


@pytest.mark.parametrize("first", ["log n", "balancing"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_training_and_weights_are_those_of_plain_pytorch_whatever_the_order_with_log_n(name, first, steps):
    balancing = ALGORITHMS[name]()
    both: list[Algorithm] = [LogNLossScaling(lambda outputs, batch: LOG_N), balancing]
    model = ToyModel(TASKS)
    fit_toy(model, steps, lambda: both if first == "log n" else both[::-1])
    expected, weights = by_hand(steps, name)
    for (key, parameter), found in zip(expected.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter, rtol=0, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}")
    if name in ("inverse_loss", "dwa"):
        torch.testing.assert_close(balancing.weights.float(), weights, rtol=0, atol=1e-6)


def test_weights_have_mean_one_and_tasks_without_a_loss_weigh_one():
    unknown = float("nan")
    torch.testing.assert_close(inverse_loss_weights(torch.tensor([1.0, 3.0, unknown])), torch.tensor([1.5, 0.5, 1.0]))
    even = dwa_weights(torch.tensor([1.0, unknown]), torch.tensor([unknown, 1.0]), 2.0)
    torch.testing.assert_close(even, torch.ones(2))
    slow, fast = dwa_weights(torch.tensor([0.9, 0.5]), torch.ones(2), 2.0).tolist()
    assert slow > 1 > fast and slow + fast == pytest.approx(2)


def test_an_averaged_loss_cannot_be_weighed():
    with pytest.raises(ValueError, match="one loss per example"):
        weigh_by_task(torch.tensor(1.0), torch.ones(2), torch.tensor([0, 1]))


def test_log_variances_of_tasks_that_a_step_lacks_are_idle_as_their_heads_are(tiny_tokenizer_folder):
    backbone = build_backbone(TINY["roberta"], load_tokenizer(tiny_tokenizer_folder))
    network = MultitaskNetwork(backbone, ["cola", "mnli", "cb"], learn_variances=True)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    idle = {names[id(parameter)] for parameter in network.idle_parameters(["mnli"])}
    assert {name for name in idle if "log_variances" in name} == {"log_variances.cola", "log_variances.cb"}


@pytest.mark.parametrize("balancing", [way.value for way in Balancing if way is not Balancing.none])
def test_a_resumed_run_ends_bitwise_as_an_uninterrupted_one(run_yaml, balancing, monkeypatch):
    monkeypatch.setattr(DynamicWeightAverage.__init__, "__defaults__", (2, 2.0, 10))  # intervals of two steps
    overrides = [f"algorithms.balancing={balancing}", "data.weighting=tasks", "optimizer.head_lr=1e-2"]
    intervals = ["max_duration=6ba", "save_interval=1ba", "keep_checkpoints=-1", "eval_interval=9ep"]
    config = load_config(run_yaml, [*overrides, *intervals])
    checkpoints = train(config).checkpoints
    whole = read_checkpoint(checkpoints / "ep0-ba6-rank0.pt").weights
    for step in range(4, 7):
        (checkpoints / f"ep0-ba{step}-rank0.pt").unlink()
    train(config)
    latest = latest_checkpoint(checkpoints)
    assert latest is not None and latest.name == "ep0-ba6-rank0.pt"
    resumed = read_checkpoint(latest).weights
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    if balancing == "uncertainty":
        variances = [value for name, value in whole.items() if name.startswith("log_variances.")]
        assert torch.cat(variances).abs().max() > 1e-3, "variances must have been learned"
