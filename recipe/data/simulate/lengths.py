"""Whose batches are simulated: a store's examples, or the published datasets' drawn from their sizes and lengths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe.data.batch_plan import Examples, PlanSettings, task_counts
from recipe.data.loader import plan_examples
from recipe.data.store import ShardStore
from recipe.errors import UserError
from recipe.tasks import get_task

PUBLISHED = Path(__file__).with_name("published.json")
_SHORTEST, _LONGEST_TARGET, _TARGET_SIGMA = 3, 128, 0.5
_BYTES_PER_TOKEN = 1.0  # 16 bits, compressed: 0.93 measured over 38 converted datasets


@dataclass(frozen=True)
class Lengths:
    """The examples to plan with.

    Attributes:
        examples: N examples.
        real_tokens: (N,) what each costs without any padding, encoder and decoder.
        tasks: Their tasks' keys.
        shard_task: (S,) index of each shard's task; ``shard_examples``, ``shard_bytes`` its examples and its size.
        origin: Where they come from, for the report's head.
    """

    examples: Examples
    real_tokens: NDArray[np.float64]
    tasks: list[str]
    shard_task: NDArray[np.int64]
    shard_examples: NDArray[np.int64]
    shard_bytes: NDArray[np.float64]
    origin: str

    def download(self, settings: PlanSettings, nodes: int) -> float:
        """Bytes that a node is expected to fetch in an epoch: every shard that one of its examples lies in."""
        sizes = np.bincount(self.examples.task)
        drawn = np.minimum(1.0, task_counts(self.examples, settings) / np.maximum(sizes, 1))[self.shard_task]
        if settings.locality is not None:  # whole shards are drawn, one window after another
            return float((self.shard_bytes * drawn * (1 - (1 - 1 / nodes) ** self.shard_examples)).sum())
        return float((self.shard_bytes * (1 - (1 - drawn / nodes) ** self.shard_examples)).sum())


def stored_lengths(store: ShardStore, encoder_decoder: bool, origin: str) -> Lengths:
    """The examples of a store, with their true lengths; no shard is read."""
    examples = plan_examples(store, encoder_decoder)
    # Lengths tell the longest row of an example only; how full its other rows are, the task's totals tell.
    rows, longest, target = store.lengths.astype(np.int64).T
    totals = np.bincount(store.task_of, rows * longest + target)
    full = np.array([sum(manifest.tokens for manifest in manifests) for manifests in store.manifests]) / totals
    return Lengths(
        examples,
        examples.padded_tokens * full[examples.task],
        [task.key for task in store.tasks],
        examples.task[np.cumsum(store.shard_sizes) - 1].astype(np.int64),
        store.shard_sizes,
        store.shard_bytes.astype(np.float64),
        origin,
    )


def published_lengths(tasks: Sequence[str], encoder_decoder: bool, max_length: int, origin: str) -> Lengths:
    """Examples drawn from the published sizes and average lengths of the 46 datasets.

    Row lengths are log-normal with the measured mean and spread, cut at ``max_length``; the rows of an example are
    equally long; contexts longer than a row are cut, not divided into windows; targets are log-normal around their mean
    with a spread of 0.5, up to 128 tokens. The draw is always the same.

    Raises:
        UserError: A task that is none of the 46.
    """
    published: dict[str, dict[str, Any]] = json.loads(PUBLISHED.read_text(encoding="utf-8"))["tasks"]
    unknown = [key for key in tasks if key not in published]
    if unknown:
        raise UserError(f"tasks: no published lengths of {', '.join(unknown)}: convert the data first, or leave it out")
    rng = np.random.default_rng(0)
    parts = [_draw(rng, index, key, published[key], encoder_decoder, max_length) for index, key in enumerate(tasks)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    examples = Examples(*columns)
    stored = np.bincount(
        examples.task, examples.rows * examples.encoder_tokens + examples.generates * examples.decoder_tokens
    )
    one_shard_a_task = np.arange(len(tasks))
    return Lengths(
        examples,
        examples.padded_tokens.astype(np.float64),  # rows of an example are equally long: none is padded
        list(tasks),
        one_shard_a_task,
        np.bincount(examples.task),
        stored * _BYTES_PER_TOKEN,
        origin,
    )


def _draw(
    rng: np.random.Generator, index: int, key: str, task: dict[str, Any], encoder_decoder: bool, max_length: int
) -> tuple[NDArray[Any], ...]:
    """The columns of :class:`Examples` for one task."""
    n, generates = task["examples"], get_task(key).needs_decoder
    encoder = _log_normal(rng, n, task["mean_tokens"], task["sigma_log"], max_length)
    if generates:
        decoder = _log_normal(rng, n, task["mean_target_tokens"], _TARGET_SIGMA, _LONGEST_TARGET)
    else:
        decoder = encoder if encoder_decoder else np.zeros(n, np.int64)
    return np.full(n, index, np.int32), np.full(n, task["rows"], np.int64), encoder, decoder, np.full(n, generates)


def _log_normal(rng: np.random.Generator, n: int, mean: float, sigma: float, longest: int) -> NDArray[np.int64]:
    drawn = np.exp(rng.normal(np.log(mean) - sigma**2 / 2, sigma, n))
    return np.clip(np.round(drawn), _SHORTEST, longest).astype(np.int64)
