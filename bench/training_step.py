"""What a training step costs, as ratios within one run: Composer and our callbacks, R3F, and the batch plan.

    python bench/training_step.py    # the demo's model and shards (`make demo` first), two minutes
    python bench/training_step.py yamls/minilm.yaml data.max_examples_per_task=null data.step_examples=256 \\
        data.token_budget=2048 --ways mixed,fixed --steps 1 --rounds 3    # real tasks, five minutes

Five ways to train take turns, a few steps each; all see each task in proportion to its size:

    bare           plain PyTorch over the microbatches of `mixed`: forward, log n scaling, backward, clipping, AdamW
    mixed          our Trainer on those microbatches, with every callback and logger of a run
    r3f            the same with R3F
    heterogeneous  our Trainer, one task a microbatch
    fixed          the bare loop as multi-task scripts on Hugging Face's Trainer write it: a batch is 32 examples of one
                   task, padded to the longest, and an update

Threads: OMP_NUM_THREADS. The outcome is also written to bench/results/training_step_<yaml>.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from composer import Callback, State
from composer.core import DataSpec
from composer.loggers import Logger
from torch.utils.data import DataLoader

from recipe.config import TrainConfig, load_config, tokenizer_name
from recipe.data.batch_plan import Strategy
from recipe.data.loader import MicrobatchDataset, Planned, batches_of_microbatches, build_train_data
from recipe.data.microbatch import Batch, count_examples, count_tokens
from recipe.data.remote import is_url
from recipe.data.store import ShardStore, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.models import build_model
from recipe.optimizer import build_optimizer
from recipe.run_folder import RunFolder
from recipe.tasks import Task
from recipe.train import build_trainer

FIXED = 32
WAYS = ["bare", "mixed", "r3f", "heterogeneous", "fixed"]
RESULTS = Path(__file__).with_name("results")

Train = Callable[[list[Batch]], float]  # trains once on some batches and returns its seconds


def bare_loop(config: TrainConfig) -> Train:
    """A plain PyTorch loop."""
    model = build_model(config, load_tokenizer(tokenizer_name(config)))
    model.train()
    optimizer = build_optimizer(model, config.optimizer)

    def train(batches: list[Batch]) -> float:
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


class OurTrainer:
    """The recipe's Trainer; the batches, each time so many, are an epoch.

    Args:
        config: Of a run.
        steps: Batches each time.
        evaluation_data: For the algorithms that learn from it; nothing is evaluated.
    """

    def __init__(self, config: TrainConfig, steps: int, evaluation_data: dict[Task, DataSpec] | None = None) -> None:
        config = replace(config, run_name=f"bench-{time.monotonic_ns()}")
        self.model = build_model(config, load_tokenizer(tokenizer_name(config)))
        self.epoch: list[Batch] = [[]] * steps
        loader = DataLoader(self.epoch, batch_size=None, collate_fn=lambda batch: batch)  # pyright: ignore[reportArgumentType]
        data, folder = batches_of_microbatches(loader), RunFolder.open(config)
        self.trainer = build_trainer(config, folder, self.model, data, evaluation_data or {}, None)
        self.trainer.state.evaluators = []
        self.clock = EpochClock()
        self.trainer.state.callbacks.append(self.clock)

    def __call__(self, batches: list[Batch]) -> float:
        """Trains once on some batches and returns its seconds."""
        self.epoch[:] = batches
        self.trainer.fit(duration="1ep")
        return self.clock.seconds


def with_r3f(config: TrainConfig, enabled: bool) -> TrainConfig:
    """The configuration with R3F on or off."""
    return replace(config, algorithms=replace(config.algorithms, r3f=replace(config.algorithms.r3f, enabled=enabled)))


def planned_batches(config: TrainConfig, store: ShardStore, strategy: Strategy, count: int) -> list[Batch]:
    """The first steps of an epoch."""
    settings = replace(config.data.plan(seed=0), strategy=strategy)
    tokenizer = load_tokenizer(tokenizer_name(config))
    data = build_train_data(store, settings, tokenizer, encoder_decoder=False, workers=0)
    return list(islice(cast(Any, data.dataloader), count))


def fixed_batches(config: TrainConfig, store: ShardStore, examples: int) -> list[Batch]:
    """About so many examples in batches of one task, drawn from all that an epoch has.

    Few batches drawn by chance could be cheaper or dearer than the epoch's, so they are taken evenly spaced from the
    cheapest to the dearest, and shuffled.
    """
    rng = np.random.default_rng(0)
    order = rng.permutation(len(store))
    tasks = [order[store.task_of[order] == task] for task in range(len(store.tasks))]
    epoch = [own[start : start + FIXED] for own in tasks for start in range(0, len(own), FIXED)]
    rows, longest, _ = store.lengths.T
    epoch.sort(key=lambda ids: rows[ids].sum() * longest[ids].max())
    count = round(examples / len(store) * len(epoch))
    chosen = ((np.arange(count) + 0.5) * len(epoch) / count).astype(int)
    dataset = MicrobatchDataset(store, load_tokenizer(tokenizer_name(config)))
    return [[dataset[Planned(epoch[place])]] for place in rng.permutation(chosen)]


def deal(batches: list[Batch], rounds: int) -> list[list[Batch]]:
    """Neighbouring batches to each round, as evenly as may be."""
    cuts = [number * len(batches) // rounds for number in range(rounds + 1)]
    return [batches[start:stop] for start, stop in pairwise(cuts)]


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        quiet = [
            f"runs={folder}/runs",
            "logging.progress_bar=false",
            "logging.interval=1000",
            "save_interval=1000ep",
            "run_name=bench",
        ]
        config = load_config(arguments.yaml, [*arguments.overrides, *quiet])
        if not is_url(config.data.store) and not Path(config.data.store).is_dir():
            sys.exit(f"{config.data.store} is not there: run `make demo` first")
        tokenizer = load_tokenizer(tokenizer_name(config))
        store = open_store(config.data.store, tokenizer, config.tasks, "train", f"{folder}/cache")
        rounds = 1 + arguments.rounds  # the first one warms up
        steps = rounds * arguments.steps
        mixed = planned_batches(config, store, Strategy.MIXED, steps)
        if len(mixed) < steps:
            sys.exit(f"an epoch has {len(mixed)} steps, {rounds} rounds of {arguments.steps} take {steps}")
        ways: dict[str, Callable[[], tuple[list[Batch], Train]]] = {
            "bare": lambda: (mixed, bare_loop(config)),
            "mixed": lambda: (mixed, OurTrainer(with_r3f(config, False), arguments.steps)),
            "r3f": lambda: (mixed, OurTrainer(with_r3f(config, True), arguments.steps)),
            "heterogeneous": lambda: (
                planned_batches(config, store, Strategy.HETEROGENEOUS, steps),
                OurTrainer(with_r3f(config, False), arguments.steps),
            ),
            "fixed": lambda: (fixed_batches(config, store, sum(map(count_examples, mixed))), bare_loop(config)),
        }
        dealt: dict[str, list[list[Batch]]] = {}
        trains: dict[str, Train] = {}
        for name in arguments.ways:
            batches, trains[name] = ways[name]()
            dealt[name] = deal(batches, rounds)
        seconds = dict.fromkeys(trains, 0.0)
        for number in range(rounds):
            for name, train in trains.items():
                taken = train(dealt[name][number])
                seconds[name] += taken if number else 0.0
    measured = {name: [batch for part in parts[1:] for batch in part] for name, parts in dealt.items()}
    report(Path(arguments.yaml), measured, seconds)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("yaml", nargs="?", default="yamls/demo.yaml", help="configuration: model, data, steps")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--ways", type=lambda text: text.split(","), default=WAYS, help="comma-separated; with mixed")
    parser.add_argument("--steps", type=int, default=4, help="of `mixed`, in a round")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_intermixed_args()


def report(yaml: Path, measured: dict[str, list[Batch]], seconds: dict[str, float]) -> None:
    """Print the table and write it as JSON."""
    rates = {name: sum(map(count_examples, batches)) / seconds[name] for name, batches in measured.items()}
    rows = {}
    for name, batches in measured.items():
        microbatches = [microbatch for batch in batches for microbatch in batch]
        padded = sum(microbatch["input_ids"].numel() for microbatch in microbatches)
        rows[name] = {
            "examples": sum(map(count_examples, batches)),
            "examples a second": rates[name],
            "examples a second / mixed": rates[name] / rates["mixed"],
            "padded tokens an example": padded / sum(map(count_examples, batches)),
            "real tokens": sum(map(count_tokens, batches)) / padded,
            "microbatches": len(microbatches),
        }
    print(f"{'way':<15}{'examples/s':>11}{'/ mixed':>9}{'padded tokens/example':>23}{'real':>7}{'microbatches':>14}")
    for name, row in rows.items():
        _, rate, ratio, tokens, real, microbatches = row.values()
        print(f"{name:<15}{rate:>11.2f}{ratio:>9.2f}{tokens:>23.1f}{real:>7.0%}{microbatches:>14}")
    RESULTS.mkdir(exist_ok=True)
    outcome = {"yaml": str(yaml), "threads": torch.get_num_threads(), "ways": rows}
    (RESULTS / f"training_step_{yaml.stem}.json").write_text(json.dumps(outcome, indent=2) + "\n")


if __name__ == "__main__":
    main()
