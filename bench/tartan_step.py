"""What a step of MT-TARTAN and META-TARTAN costs in time and memory, as ratios to a plain step on the same batches.

    python bench/tartan_step.py    # the demo's model, generated data; two minutes on one core

Of 4 and of 40 tasks, for either way to form microbatches. Three trainings take turns, a step each on the same 80
examples: plain (log n scaling, no R3F), MT-TARTAN, and META-TARTAN with 48 development examples, which it reads in the
step. A round's ratio is of its seconds; shown are medians over rounds.

Memory is counted, not sampled: the bytes of weights and optimizer state, and the most that torch's allocator held on
top of them in one more step, from the profiler's events. That is exact on a CPU and leaves out what a GPU's allocator
rounds up. In so small a model activations have a large share; `more memory / backbone` is what is held more than in a
plain step, in multiples of the backbone's weights.

The outcome is also written to bench/results/tartan_step.json.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any, cast

import torch
from composer.core import DataSpec
from conversion import convert
from training_step import OurTrainer, planned_batches, with_r3f

from data_prep import train_tokenizer
from data_prep.convert import Settings, plan_units
from data_prep.encode import Limits
from recipe.config import Tartan, TrainConfig, load_config, tokenizer_name
from recipe.data.batch_plan import Strategy
from recipe.data.loader import build_evaluation_data
from recipe.data.microbatch import Batch
from recipe.data.store import ShardStore, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import Task

YAML, ROWS = "yamls/demo.yaml", 400
TASKS = (4, 40)
STRATEGIES = (Strategy.HETEROGENEOUS, Strategy.MIXED)
WAYS = (Tartan.none, Tartan.mt, Tartan.meta)
NAMES = {Tartan.none: "plain", Tartan.mt: "MT-TARTAN", Tartan.meta: "META-TARTAN"}
RESULTS = Path(__file__).with_name("results") / "tartan_step.json"


def measure(
    config: TrainConfig, store: ShardStore, evaluation_data: dict[Task, DataSpec], rounds: int
) -> list[dict[str, float]]:
    """Ratios to the plain step, and what it takes, one row a way."""
    batches = planned_batches(config, store, config.data.strategy, 2 + rounds)
    warm_up, last, *others = batches
    trainings = [OurTrainer(replace_method(config, way), 1, evaluation_data) for way in WAYS]
    for training in trainings:
        training([warm_up])
    seconds = [[training([batch]) for training in trainings] for batch in others]
    backbone = sum(parameter.nbytes for parameter in trainings[0].model.network.backbone.parameters())
    peaks = [peak_bytes(training, [last]) for training in trainings]
    return [
        {
            "step / plain": statistics.median(took[way] / took[0] for took in seconds),
            "memory / plain": peaks[way] / peaks[0],
            "more memory / backbone": (peaks[way] - peaks[0]) / backbone,
            "step, ms": 1e3 * statistics.median(took[way] for took in seconds),
            "memory, MB": peaks[way] / 2**20,
            "microbatches a step": statistics.fmean(len(batch) for batch in batches),
            "tasks a microbatch": statistics.fmean(len(m["segments"]) for batch in batches for m in batch),
        }
        for way in range(len(WAYS))
    ]


def write_store(config: TrainConfig) -> None:
    """A tokenizer and the miniatures of the configuration's tasks."""
    name = tokenizer_name(config)
    with contextlib.redirect_stdout(io.StringIO()):
        train_tokenizer.main([name, "--source", "miniature"])
    settings = Settings(config.data.store, "miniature", Limits(max_length=256), limit=ROWS)
    tokenizer = load_tokenizer(name)
    units = plan_units(config.tasks, ("train", "validation"), settings, tokenizer)
    convert(units, settings, tokenizer)


def replace_method(config: TrainConfig, way: Tartan) -> TrainConfig:
    """The configuration with this method of TARTAN, for its first task."""
    tartan = replace(config.algorithms.tartan, method=way, end_task=config.tasks[0])
    return replace(config, algorithms=replace(config.algorithms, tartan=tartan))


def development(config: TrainConfig, cache: str) -> dict[Task, DataSpec]:
    """The end task's validation data, for META-TARTAN to draw from."""
    tokenizer, budget = load_tokenizer(tokenizer_name(config)), config.data.token_budget
    store = open_store(config.data.store, tokenizer, [config.tasks[0]], "validation", cache)
    return build_evaluation_data(store, tokenizer, token_budget=budget, encoder_decoder=False)


def peak_bytes(training: OurTrainer, batches: list[Batch]) -> float:
    """Most bytes of tensors at a time while it trains, weights and optimizer state among them."""
    state = training.trainer.state
    held = [*training.model.parameters()]
    held += [value for own in state.optimizers[0].state.values() for value in own.values() if torch.is_tensor(value)]
    held += [parameter.grad for parameter in training.model.parameters() if parameter.grad is not None]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        training(batches)
    recorded = cast(Any, profile.profiler).kineto_results.events()
    events = [event for event in recorded if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return sum(tensor.nbytes for tensor in held) + max(accumulate(event.nbytes() for event in events))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="after one that warms up (default: 9)")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        quiet = ["logging.progress_bar=false", "logging.interval=1000", "logging.tensorboard=false"]
        intervals = [f"runs={folder}/runs", "save_interval=1000ep", "eval_interval=1000ep"]
        tartan = ["algorithms.tartan.head_examples=16", "algorithms.tartan.examples=32", "data.step_examples=80"]
        data = [f"backbone.tokenizer={folder}/tokenizer", f"data.store={folder}/store"]
        config = with_r3f(load_config(YAML, [*quiet, *intervals, *tartan, *data]), False)
        config = replace(config, tasks=config.tasks[: max(TASKS)])
        write_store(config)
        evaluation_data = development(config, f"{folder}/development")
        tokenizer = load_tokenizer(tokenizer_name(config))
        for count in TASKS:
            tasks = config.tasks[:: len(config.tasks) // count]  # of all families
            store = open_store(config.data.store, tokenizer, tasks, "train", f"{folder}/cache-{count}")
            for strategy in STRATEGIES:
                own = replace(config, tasks=tasks, data=replace(config.data, strategy=strategy))
                found = measure(own, store, evaluation_data, arguments.rounds)
                named = zip(WAYS, found, strict=True)
                rows += [{"tasks": count, "strategy": strategy.value, "way": NAMES[way], **row} for way, row in named]
    show(rows)
    RESULTS.parent.mkdir(exist_ok=True)
    outcome = {"yaml": YAML, "threads": torch.get_num_threads(), "steps": rows}
    RESULTS.write_text(json.dumps(outcome, indent=2) + "\n")


def show(rows: list[dict[str, float | str]]) -> None:
    print("  ".join(f"{key:>{max(13, len(key))}}" for key in rows[0]))
    for row in rows:
        cells = (f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values())
        print("  ".join(f"{cell:>{max(13, len(key))}}" for cell, key in zip(cells, row, strict=True)))


if __name__ == "__main__":
    main()
