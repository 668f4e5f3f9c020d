"""What R3F and the batch plan's strategy cost, as ratios within one run.

    make bench

Trains the demo's model on the demo's shards (run `make demo` first) for a few steps each way, in turns, and prints the
time of a step relative to plain `mixed` training, and how much of what the backbone computes is padding.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch

from recipe.algorithms.r3f import embedding_noise
from recipe.config import load_config
from recipe.data.batch_plan import Strategy
from recipe.data.loader import build_train_data
from recipe.data.microbatch import Batch, count_tokens
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.models import MultitaskModel, build_model

STEPS, ROUNDS = 4, 5
WAYS = (
    ("mixed", Strategy.MIXED, False),
    ("mixed + R3F", Strategy.MIXED, True),
    ("heterogeneous", Strategy.HETEROGENEOUS, False),
)


def time_steps(model: MultitaskModel, batches: list[Batch], r3f: bool) -> float:
    """Seconds for forward and backward of all microbatches."""
    generator = torch.Generator().manual_seed(0)
    start = time.perf_counter()
    for microbatch in (microbatch for batch in batches for microbatch in batch):
        outputs = model(microbatch)
        loss = model.loss(outputs, microbatch)
        if r3f:
            with embedding_noise(model.network.embeddings, 1e-5, "uniform", generator):
                noised = model(microbatch)
            loss = loss + model.divergence(outputs, noised, microbatch)
        loss.sum().backward()
        model.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    config = load_config("yamls/demo.yaml")
    if not Path(config.data.store).is_dir():
        sys.exit(f"{config.data.store} is not there: run `make demo` first")
    tokenizer = load_tokenizer(str(config.backbone.tokenizer))
    model = build_model(config, tokenizer)
    model.train()
    with tempfile.TemporaryDirectory() as cache:
        store = open_store(config.data.store, tokenizer, config.tasks, "train", cache)
        batches = {}
        for name, strategy, _ in WAYS:
            settings = replace(config.data.plan(seed=0), strategy=strategy)
            data = build_train_data(store, settings, tokenizer, encoder_decoder=False, workers=0)
            batches[name] = list(islice(data.dataloader, STEPS))
        seconds: dict[str, list[float]] = {name: [] for name, *_ in WAYS}
        for _ in range(ROUNDS):
            for name, _, r3f in WAYS:
                seconds[name].append(time_steps(model, batches[name], r3f))
    plain = statistics.median(seconds["mixed"])
    print(f"{'way':<16}{'time / mixed':>14}{'real tokens':>14}{'microbatches a step':>22}")
    for name, *_ in WAYS:
        padded = sum(microbatch["input_ids"].numel() for batch in batches[name] for microbatch in batch)
        real = sum(count_tokens(batch) for batch in batches[name]) / padded
        ratio = statistics.median(seconds[name]) / plain
        microbatches = sum(len(batch) for batch in batches[name]) / STEPS
        print(f"{name:<16}{ratio:>14.2f}{real:>13.0%}{microbatches:>22.1f}")


if __name__ == "__main__":
    main()
