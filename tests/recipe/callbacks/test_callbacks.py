"""The callbacks in a real Composer training of a linear model on microbatch-shaped batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from composer import ComposerModel, DataSpec, Evaluator, Trainer
from composer.core import Callback, State
from composer.loggers import Logger
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics import Metric

from recipe.callbacks.aggregate import Aggregate, BestCheckpoint
from recipe.callbacks.jsonl_logger import JSONLLogger, cut_lines
from recipe.callbacks.task_loss import TaskLoss
from recipe.callbacks.throughput import Throughput
from recipe.data.microbatch import Batch, Microbatch, Segment, count_examples, count_tokens
from recipe.tasks.catalogue import get_task
from recipe.tasks.metrics import build_metrics

TASKS = ("cola", "cb")  # 2 and 3 classes
LOG_OUTCOMES = {"cola": 2.0, "cb": 4.0}  # round numbers, so that means are easy to follow
PRIMARY = {"cola": "matthews", "cb": "accuracy"}


class LinearModel(ComposerModel):
    """A linear layer on two features; an example's loss is (output - 1) squared, its class the output's sign."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = torch.nn.Linear(2, 1)
        self.last_raw_loss: Tensor | None = None
        self.losses: list[Tensor] = []

    def forward(self, batch: Any) -> Tensor:
        return self.network(batch["input_ids"].float()).squeeze(1)

    def loss(self, outputs: Tensor, batch: Any) -> Tensor:
        loss = (outputs - 1) ** 2
        self.last_raw_loss = loss.detach()
        self.losses.append(loss.detach())
        return loss

    def log_outcomes(self, outputs: Tensor, batch: Any) -> Tensor:
        parts = [torch.full((_examples(segment),), LOG_OUTCOMES[segment["task"]]) for segment in batch["segments"]]
        return torch.cat(parts)

    def get_metrics(self, is_train: bool = False) -> dict[str, Metric]:
        if is_train:
            return {}
        return {f"{task}/{name}": metric for task in TASKS for name, metric in build_metrics(get_task(task)).items()}

    def update_metric(self, batch: Any, outputs: Tensor, metric: Metric) -> None:
        metric.update((outputs > 0).long().tolist(), batch["segments"][0]["labels"].tolist())


def _examples(segment: Any) -> int:
    return segment["examples"][1] - segment["examples"][0]


def microbatch(tasks: Sequence[tuple[str, int]], seed: int) -> Microbatch:
    generator = torch.Generator().manual_seed(seed)
    rows = sum(count for _, count in tasks)
    segments, start = [], 0
    for task, count in tasks:
        span = (start, start + count)
        labels = torch.randint(2, (count,), generator=generator)
        segments.append(Segment(task=task, family="classification", rows=span, examples=span, labels=labels))
        start += count
    ids = torch.randint(1, 9, (rows, 2), generator=generator)
    return Microbatch(
        input_ids=ids, attention_mask=torch.ones_like(ids), token_type_ids=torch.zeros_like(ids), segments=segments
    )


def data_spec(batches: list[Batch]) -> DataSpec:
    def collate(items: list[Batch]) -> Batch:
        return items[0]

    return DataSpec(
        DataLoader(batches, batch_size=1, collate_fn=collate),  # type: ignore[arg-type]  # a list is a dataset
        split_batch=lambda batch, _: batch,
        get_num_samples_in_batch=count_examples,
        get_num_tokens_in_batch=count_tokens,
    )


TRAINING: list[Batch] = [
    [microbatch([("cola", 3)], seed=10 * step), microbatch([("cola", 1), ("cb", 2)], seed=10 * step + 1)]
    for step in range(6)
]
TRAINING[4] = [microbatch([("cola", 2)], seed=4)]  # without cb


def train(
    callbacks: Sequence[Callback] = (),
    folder: Path | None = None,
    duration: str = "6ba",
    load: Path | None = None,
    model: LinearModel | None = None,
    save: bool = False,
) -> Trainer:
    model = model or LinearModel()
    trainer = Trainer(
        model=model,
        train_dataloader=data_spec(TRAINING),
        eval_dataloader=[
            Evaluator(label=task, dataloader=data_spec([[microbatch([(task, 8)], 99)]]), metric_names=[f"^{task}/"])
            for task in TASKS
        ],
        eval_interval="2ba",
        max_duration=duration,
        optimizers=torch.optim.SGD(model.parameters(), lr=0.004),
        callbacks=list(callbacks),
        loggers=[] if folder is None else [JSONLLogger(folder)],
        device="cpu",
        device_train_microbatch_size=1,
        save_folder=str(folder / "checkpoints") if save and folder else None,
        save_filename="ba{batch}.pt",
        save_interval="1ba",
        load_path=None if load is None else str(load),
        progress_bar=False,
        seed=1,
    )
    trainer.fit()
    trainer.close()
    return trainer


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def logged(folder: Path, name: str) -> dict[int, float]:
    return {line["step"]: line[name] for line in lines(folder) if name in line}


def untimed(folder: Path) -> list[dict[str, Any]]:
    clocks = ("throughput/", "trainer/")
    return [{key: value for key, value in line.items() if not key.startswith(clocks)} for line in lines(folder)]


# The file of metrics.


def test_every_step_is_one_line_with_all_that_was_logged_at_it(tmp_path: Path) -> None:
    train([Aggregate(PRIMARY)], tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2, 3, 4, 5, 6]
    assert list(logged(tmp_path, "loss/train/total")) == [0, 1, 2, 3, 4, 5]
    assert list(logged(tmp_path, "metrics/aggregate")) == [2, 4, 6]


@pytest.mark.parametrize("resumed_step", [2, 3, 5])
def test_a_resumed_run_leaves_the_file_of_an_uninterrupted_one(tmp_path: Path, resumed_step: int) -> None:
    def callbacks(model: LinearModel) -> list[Callback]:
        return [TaskLoss(model, TASKS, interval_batches=4), Aggregate(PRIMARY), Throughput()]

    whole, model = tmp_path / "whole", LinearModel()
    train(callbacks(model), whole, model=model)
    parts, model = tmp_path / "parts", LinearModel()
    train(callbacks(model), parts, model=model, save=True)
    model = LinearModel()
    train(callbacks(model), parts, model=model, load=parts / "checkpoints" / f"ba{resumed_step}.pt")
    assert untimed(parts) == untimed(whole)


def test_a_fresh_run_starts_a_fresh_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "old": 1}\n{"step": 77, "old": 1}\n')
    train([], tmp_path, duration="1ba")
    assert [line["step"] for line in lines(tmp_path)] == [0, 1]
    assert not logged(tmp_path, "old")


def test_cutting_keeps_earlier_lines_returns_the_steps_own_and_drops_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0, "a": 1}\n{"step": 2, "a": 2}\n{"step": 4, "a": 3}\n{"step": 5, "a"')
    assert cut_lines(path, step=2) == {"step": 2, "a": 2}
    assert path.read_text() == '{"step": 0, "a": 1}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


class LogsOddNumbers(Callback):
    def batch_end(self, state: State, logger: Logger) -> None:
        logger.log_metrics({"nan": float("nan"), "tensor": torch.tensor(0.5)})  # type: ignore[dict-item]


def test_what_json_lacks_becomes_null_and_tensors_become_numbers(tmp_path: Path) -> None:
    train([LogsOddNumbers()], tmp_path, duration="1ba")
    assert (logged(tmp_path, "nan"), logged(tmp_path, "tensor")) == ({1: None}, {1: 0.5})


# Task losses.


def test_task_losses_are_means_over_the_examples_of_the_interval(tmp_path: Path) -> None:
    model = LinearModel()
    train([TaskLoss(model, TASKS, interval_batches=2)], tmp_path, duration="2ba", model=model)
    losses = [loss.double() for loss in model.losses]  # two microbatches a step: cola x 3, then cola x 1 and cb x 2
    cola = torch.cat([losses[0], losses[1][:1], losses[2], losses[3][:1]])
    cb = torch.cat([losses[1][1:], losses[3][1:]])
    assert logged(tmp_path, "loss/raw/cola") == {2: pytest.approx(float(cola.mean()))}
    assert logged(tmp_path, "loss/raw/cb") == {2: pytest.approx(float(cb.mean()))}
    assert logged(tmp_path, "loss/scaled/cola") == {2: pytest.approx(float(cola.mean()) / 2)}
    assert logged(tmp_path, "loss/scaled/cb") == {2: pytest.approx(float(cb.mean()) / 4)}
    mean = float(torch.cat([cola / 2, cb / 4]).mean())
    assert logged(tmp_path, "loss/scaled/mean") == {2: pytest.approx(mean)}


def test_a_task_without_examples_in_an_interval_is_not_logged(tmp_path: Path) -> None:
    model = LinearModel()
    train([TaskLoss(model, TASKS, interval_batches=1)], tmp_path, model=model)
    assert list(logged(tmp_path, "loss/raw/cola")) == [1, 2, 3, 4, 5, 6]
    assert list(logged(tmp_path, "loss/raw/cb")) == [1, 2, 3, 4, 6]


# Throughput.


def test_throughput_is_logged_from_the_second_step_in_the_ratio_of_the_counts(tmp_path: Path) -> None:
    train([Throughput(window_batches=2)], tmp_path)
    examples, tokens = (logged(tmp_path, f"throughput/{name}_per_s") for name in ("examples", "tokens"))
    assert list(examples) == list(tokens) == [2, 3, 4, 5, 6]
    assert all(rate > 0 for rate in examples.values())
    assert {step: tokens[step] / examples[step] for step in tokens} == pytest.approx(dict.fromkeys(tokens, 2.0))


# The aggregate and the best checkpoint.


def test_the_aggregate_is_the_mean_of_the_primary_metrics(tmp_path: Path) -> None:
    trainer = train([Aggregate(PRIMARY)], tmp_path)
    values = trainer.state.eval_metric_values
    expected = (float(values["cola/matthews"]) + float(values["cb/accuracy"])) / 2
    assert logged(tmp_path, "metrics/aggregate")[6] == pytest.approx(expected)


def test_a_metric_that_is_not_evaluated_is_named() -> None:
    with pytest.raises(ValueError, match="not evaluated: rte/accuracy"):
        train([Aggregate({**PRIMARY, "rte": "accuracy"})])


class Scripted(Aggregate):
    """Lets the test decide what the evaluation finds at each step: every task's primary metric, or CB's by itself."""

    def __init__(self, values: dict[int, float], of_cb: dict[int, float] | None = None) -> None:
        super().__init__({"cola": "matthews", "cb": "accuracy"})
        self.values = {"cola": values, "cb": of_cb or values}

    def eval_after_all(self, state: State, logger: Logger) -> None:
        for task, metric in self.primary_metrics.items():
            state.eval_metric_values[f"{task}/{metric}"] = self.values[task][int(state.timestamp.batch)]
        super().eval_after_all(state, logger)


class Weights(Callback):
    """Remembers the weights of every step."""

    def __init__(self) -> None:
        self.at: dict[int, Tensor] = {}

    def batch_end(self, state: State, logger: Logger) -> None:
        self.at[int(state.timestamp.batch)] = state.model.network.weight.detach().clone()  # type: ignore[union-attr]


def saved_weights(path: Path) -> Tensor:
    """Read without running code from the file: of all classes only the timestamp's durations are allowed."""
    with torch.serialization.safe_globals([timedelta]):
        state = torch.load(path, weights_only=True)["state"]
    assert "optimizers" not in state
    return state["model"]["network.weight"]


def test_the_best_checkpoint_holds_the_weights_of_the_best_evaluation(tmp_path: Path) -> None:
    weights = Weights()
    train([weights, Scripted({2: 0.3, 4: 0.5, 6: 0.4}), BestCheckpoint(tmp_path)])
    assert torch.equal(saved_weights(tmp_path / "best-rank0.pt"), weights.at[4])
    assert not torch.equal(weights.at[4], weights.at[6])
    assert [file.name for file in tmp_path.iterdir()] == ["best-rank0.pt"]


def test_the_best_checkpoint_can_be_that_of_one_task(tmp_path: Path) -> None:
    weights = Weights()
    scores = Scripted({2: 0.9, 4: 0.1, 6: 0.1}, of_cb={2: 0.3, 4: 0.4, 6: 0.2})
    train([weights, scores, BestCheckpoint(tmp_path, ["cb"])])
    assert torch.equal(saved_weights(tmp_path / "best-rank0.pt"), weights.at[4])


@pytest.mark.parametrize(("after", "best_step"), [(0.4, 2), (0.6, 4)])
def test_a_resumed_run_only_replaces_a_best_that_it_improves_on(tmp_path: Path, after: float, best_step: int) -> None:
    weights = Weights()
    train([weights, Scripted({2: 0.5, 4: 0.2, 6: 0.1}), BestCheckpoint(tmp_path)], tmp_path, save=True)
    resumed = [weights, Scripted({4: after, 6: 0.1}), BestCheckpoint(tmp_path)]
    train(resumed, load=tmp_path / "checkpoints" / "ba3.pt")
    assert torch.equal(saved_weights(tmp_path / "best-rank0.pt"), weights.at[best_step])


def test_the_best_checkpoint_needs_the_aggregate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="add the Aggregate callback"):
        train([BestCheckpoint(tmp_path)])
