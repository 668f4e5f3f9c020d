"""What a training step costs, as ratios within one run: Composer and our callbacks, R3F, and the batch plan.

    python bench/training_step.py                                     # the demo's model and shards (`make demo` first)
    python bench/training_step.py yamls/minilm.yaml data.step_examples=256   # a few hundred for batches of one task

Five ways to train on the same examples take turns, an epoch of a few steps each:

    bare loop       plain PyTorch over the microbatches of `mixed`: forward, log n scaling, backward, clipping, AdamW
    mixed           our Trainer on those microbatches, with every callback and logger of a run
    mixed + R3F     the same with R3F
    heterogeneous   our Trainer, one task a microbatch
    fixed batches   the bare loop as multi-task scripts write it: a batch is 16 examples of one task, padded to the
                    longest

Threads: OMP_NUM_THREADS. The outcome is also written to bench/results/training_step.json.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from composer import Callback, State
from composer.loggers import Logger
from torch.utils.data import DataLoader

from recipe.config import TrainConfig, load_config, tokenizer_name
from recipe.data.batch_plan import Strategy
from recipe.data.loader import Planned, batches_of_microbatches, build_train_data
from recipe.data.microbatch import Batch, count_examples, count_tokens
from recipe.data.remote import is_url
from recipe.data.store import ShardStore, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.models import build_model
from recipe.optimizer import build_optimizer
from recipe.run_folder import RunFolder
from recipe.train import build_trainer

STEPS, ROUNDS, FIXED = 4, 3, 16
RESULTS = Path(__file__).with_name("results") / "training_step.json"


def bare_loop(config: TrainConfig, batches: list[Batch]) -> Callable[[], float]:
    """A plain PyTorch loop; each call trains once on all batches and returns its seconds."""
    model = build_model(config, load_tokenizer(tokenizer_name(config)))
    model.train()
    optimizer = build_optimizer(model, config.optimizer)

    def train() -> float:
        start = time.perf_counter()
        for batch in batches:
            examples = count_examples(batch)
            for microbatch in batch:
                outputs = model(microbatch)
                loss = model.loss(outputs, microbatch) / model.log_outcomes(outputs, microbatch)
                (loss.sum() / examples).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optimizer.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start

    return train


class EpochClock(Callback):
    """Seconds of the last epoch, without evaluation and checkpoints after it."""

    def epoch_start(self, state: State, logger: Logger) -> None:
        self.start = time.perf_counter()

    def epoch_end(self, state: State, logger: Logger) -> None:
        self.seconds = time.perf_counter() - self.start


def our_trainer(config: TrainConfig, batches: list[Batch], r3f: bool) -> Callable[[], float]:
    """The recipe's Trainer; each call trains for an epoch of the batches and returns its seconds."""
    config = replace(config, run_name=f"bench-{time.monotonic_ns()}")
    config = replace(config, algorithms=replace(config.algorithms, r3f=replace(config.algorithms.r3f, enabled=r3f)))
    model = build_model(config, load_tokenizer(tokenizer_name(config)))
    loader = DataLoader(batches, batch_size=None, collate_fn=lambda batch: batch)  # pyright: ignore[reportArgumentType]
    trainer = build_trainer(config, RunFolder.open(config), model, batches_of_microbatches(loader), {}, None)
    clock = EpochClock()
    trainer.state.callbacks.append(clock)

    def train() -> float:
        trainer.fit(duration="1ep")
        return clock.seconds

    return train


def train_loader(config: TrainConfig, store: ShardStore, strategy: Strategy) -> DataLoader:
    settings = replace(config.data.plan(seed=0), strategy=strategy)
    tokenizer = load_tokenizer(tokenizer_name(config))
    data = build_train_data(store, settings, tokenizer, encoder_decoder=False, workers=0)
    return cast(DataLoader, data.dataloader)


def fixed_batches(config: TrainConfig, store: ShardStore) -> list[Batch]:
    """The examples of ``mixed``'s steps, in batches of one task."""
    loader = train_loader(config, store, Strategy.MIXED)
    ids = np.concatenate([m.ids for step in islice(cast(Any, loader.batch_sampler), STEPS) for m in step])
    ids = np.random.default_rng(0).permutation(ids)
    dataset = loader.dataset
    tasks = [ids[store.task_of[ids] == task] for task in np.unique(store.task_of[ids])]
    cuts = [own[start : start + FIXED] for own in tasks for start in range(0, len(own), FIXED)]
    return [[dataset[Planned(cut)]] for cut in cuts]


def main() -> None:
    yaml, *overrides = sys.argv[1:] or ["yamls/demo.yaml"]
    with tempfile.TemporaryDirectory() as folder:
        quiet = [
            f"runs={folder}/runs",
            "logging.progress_bar=false",
            "logging.interval=1000",
            "save_interval=1000ep",
            "run_name=bench",
        ]
        config = load_config(yaml, [*overrides, *quiet])
        if not is_url(config.data.store) and not Path(config.data.store).is_dir():
            sys.exit(f"{config.data.store} is not there: run `make demo` first")
        tokenizer = load_tokenizer(tokenizer_name(config))
        store = open_store(config.data.store, tokenizer, config.tasks, "train", f"{folder}/cache")
        mixed, heterogeneous = (
            list(islice(train_loader(config, store, strategy), STEPS))
            for strategy in (Strategy.MIXED, Strategy.HETEROGENEOUS)
        )
        fixed = fixed_batches(config, store)
        ways = {
            "bare loop": (mixed, bare_loop(config, mixed)),
            "mixed": (mixed, our_trainer(config, mixed, r3f=False)),
            "mixed + R3F": (mixed, our_trainer(config, mixed, r3f=True)),
            "heterogeneous": (heterogeneous, our_trainer(config, heterogeneous, r3f=False)),
            "fixed batches": (fixed, bare_loop(config, fixed)),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(1 + ROUNDS):
            for name, (batches, train) in ways.items():
                seconds = train()
                if number:  # the first round warms up
                    rates[name].append(sum(map(count_examples, batches)) / seconds)
    report(yaml, ways, {name: statistics.median(values) for name, values in rates.items()})


def report(yaml: str, ways: dict[str, tuple[list[Batch], Callable[[], float]]], rates: dict[str, float]) -> None:
    """Print the table and write it as JSON."""
    rows = {}
    for name, (batches, _) in ways.items():
        microbatches = [microbatch for batch in batches for microbatch in batch]
        padded = sum(microbatch["input_ids"].numel() for microbatch in microbatches)
        rows[name] = {
            "examples a second": rates[name],
            "examples a second / mixed": rates[name] / rates["mixed"],
            "real tokens": sum(map(count_tokens, batches)) / padded,
            "microbatches": len(microbatches),
        }
    print(f"{'way':<16}{'examples/s':>12}{'/ mixed':>10}{'real tokens':>14}{'microbatches':>14}")
    for name, row in rows.items():
        rate, ratio, real, microbatches = row.values()
        print(f"{name:<16}{rate:>12.2f}{ratio:>10.2f}{real:>14.0%}{microbatches:>14}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"yaml": yaml, "threads": torch.get_num_threads(), "ways": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
