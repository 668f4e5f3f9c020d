"""The batch plan's first half: which examples form each optimiser step of an epoch.

Pure NumPy, no torch, no IO: the same inputs give the same plan on every rank. A step's examples depend on the seed and
the epoch alone, never on the number of ranks or the token budget; :mod:`recipe.data.cut_step` is where those count.
Promises (tests/recipe/test_batch_plan.py): every example once an epoch, natural proportions, shuffled anew each epoch.

N examples of T tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from recipe.errors import UserError

Ids = NDArray[np.int64]


class Strategy(str, Enum):
    """What may share a step and a microbatch (MUPPET, section 3.3 and figure 2, names the first three)."""

    DATASET_HOMOGENEOUS = "dataset_homogeneous"  # one dataset after another, in another order each epoch
    BATCH_HOMOGENEOUS = "batch_homogeneous"  # a step is one task, the steps are shuffled
    HETEROGENEOUS = "heterogeneous"  # one task a microbatch, many a step: the paper's choice
    MIXED = "mixed"  # rows of several tasks, of similar length: one backbone forward serves several heads

    @property
    def one_task_a_step(self) -> bool:
        return self in (Strategy.DATASET_HOMOGENEOUS, Strategy.BATCH_HOMOGENEOUS)


class Weighting(str, Enum):
    """What the loss of a step is the mean over."""

    EXAMPLES = "examples"  # its examples
    TASKS = "tasks"  # its tasks' means: however few examples a task has in the step, it counts as much as the others


class PlanError(UserError):
    """Settings that no plan can satisfy."""


@dataclass(frozen=True)
class Examples:
    """What the plan knows of N examples; all arrays have shape (N,).

    Attributes:
        task: Index of the example's task.
        rows: Rows through the backbone.
        encoder_tokens: Tokens of its longest row.
        decoder_tokens: Tokens its rows need in the decoder: 0 for encoders, the target's for generation, the row's own
            where the decoder reads the row again.
        generates: Whether the decoder reads a target. A microbatch holds one kind.
        shard: Index of the shard that stores the example; a shard holds one task. Only ``locality`` needs it.
    """

    task: NDArray[np.int32]
    rows: NDArray[np.int64]
    encoder_tokens: NDArray[np.int64]
    decoder_tokens: NDArray[np.int64]
    generates: NDArray[np.bool_]
    shard: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.task)

    def take(self, ids: Ids) -> Examples:
        """The examples with these ids alone, numbered anew in their order."""
        return Examples(
            self.task[ids],
            self.rows[ids],
            self.encoder_tokens[ids],
            self.decoder_tokens[ids],
            self.generates[ids],
            None if self.shard is None else self.shard[ids],
        )

    @property
    def padded_tokens(self) -> NDArray[np.int64]:
        """(N,) what each example costs alone: its rows, padded to the longest, through encoder and decoder."""
        return self.rows * (self.encoder_tokens + self.decoder_tokens)


@dataclass(frozen=True)
class PlanSettings:
    """How to plan; the fields are explained in :class:`recipe.config.DataConfig`."""

    strategy: Strategy
    step_examples: int
    token_budget: int
    seed: int
    max_examples_per_task: int | None = None
    temperature: float = 1.0
    max_steps_per_epoch: int | None = None
    locality: int | None = None
    weighting: Weighting = Weighting.EXAMPLES
    fraction: float = 1.0


def plan_epoch(examples: Examples, settings: PlanSettings, epoch: int) -> list[Ids]:
    """The epoch's steps: ids of each global batch.

    ``heterogeneous`` and ``mixed`` steps are natural random samples of all tasks and differ in size by one example at
    most, so that no step at the epoch's end is a tiny one. The homogeneous strategies split each task by itself in the
    same way, so a task smaller than a step is one small step.

    Raises:
        PlanError: ``locality`` without shards.
    """
    if settings.fraction < 1:
        kept = subset(examples.task, settings.fraction)
        steps = plan_epoch(examples.take(kept), replace(settings, fraction=1.0), epoch)
        return [kept[step] for step in steps]
    rng = np.random.default_rng((settings.seed, epoch))
    order = _draw(examples, settings, rng)
    if settings.strategy.one_task_a_step:
        steps = _one_task_steps(examples, order, settings, rng)
    else:
        steps = _split(order, settings.step_examples)
    return steps[: settings.max_steps_per_epoch]


def subset(task: NDArray[np.int32], fraction: float) -> Ids:
    """Ids of this share of each task's examples, one at least: always the same ones, a smaller share's among them.

    Args:
        task: Index of every example's task.
        fraction: (0, 1].
    """
    kept = []
    for index, size in enumerate(np.bincount(task)):
        order = np.random.default_rng(0).permutation(size)
        kept.append(np.flatnonzero(task == index)[order[: max(1, round(fraction * size))]])
    return np.sort(np.concatenate(kept))


def step_weights(task: NDArray[np.int32], ids: Ids) -> NDArray[np.float32]:
    """Weights (T,) by task that make the mean over a step's examples the mean over its tasks' means.

    An example of task t weighs N / (tasks present x examples of t), N and both counts over the whole step: each task
    present counts equally however many examples it has ("gradients from each task are averaged", MUPPET section 3.3).
    The weights of a step sum to N. Tasks that are not in the step weigh 0.

    Args:
        task: Index of every example's task.
        ids: Of the step's N examples, all ranks'.
    """
    counts = np.bincount(task[ids])
    weights = np.zeros(len(counts), np.float32)
    present = counts > 0
    weights[present] = len(ids) / (present.sum() * counts[present])
    return weights


def task_counts(examples: Examples, settings: PlanSettings) -> NDArray[np.int64]:
    """How many examples of each task (T,) an epoch has.

    Sizes are capped first, then raised to 1/temperature and scaled so that the epoch keeps its length:
    "temperature-scaled mixing" with an artificial limit, Raffel et al. 2020 (arXiv 1910.10683, section 3.5.2). Above 1
    a small task's examples are seen several times and a large task's not all; every task keeps one example at least.
    """
    sizes = np.bincount(examples.task)
    if settings.max_examples_per_task is not None:
        sizes = np.minimum(sizes, settings.max_examples_per_task)
    if settings.temperature == 1:
        return sizes
    rates = np.where(sizes > 0, sizes ** (1 / settings.temperature), 0.0)
    exact = rates / rates.sum() * sizes.sum()
    counts = exact.astype(np.int64)
    most_short = np.argsort(counts - exact, kind="stable")[: sizes.sum() - counts.sum()]
    counts[most_short] += 1
    return np.where(sizes > 0, np.maximum(counts, 1), 0)


def _draw(examples: Examples, settings: PlanSettings, rng: np.random.Generator) -> Ids:
    """The epoch's examples in random order; each task's as often as :func:`task_counts` says, none twice before all."""
    order = rng.permutation(len(examples))
    sizes, counts = np.bincount(examples.task), task_counts(examples, settings)
    local = settings.locality is not None
    if local:
        window = _windows(examples, settings.locality, rng)
        order = order[np.argsort(window[order], kind="stable")]
    elif (sizes == counts).all():
        return order
    place = _rank_within(examples.task[order])
    size, count = sizes[examples.task[order]], counts[examples.task[order]]
    times = count // size + (place < count % size)
    drawn = np.repeat(order, times)
    if not local:
        # Shuffled again: the first of a large task all stand early in the order, those of a small one all over it.
        return rng.permutation(drawn)
    # Each task's examples keep their windows' order and are spread evenly over the epoch: steps stay natural samples.
    repetition = np.arange(len(drawn)) - np.repeat(np.cumsum(times) - times, times)
    nth = np.repeat(place, times) + repetition * np.repeat(size, times)
    return drawn[np.argsort((nth + rng.random(len(drawn))) / np.repeat(count, times))]


def _one_task_steps(examples: Examples, order: Ids, settings: PlanSettings, rng: np.random.Generator) -> list[Ids]:
    by_task = order[_sort(examples.task[order])]
    tasks = np.split(by_task, np.flatnonzero(np.diff(examples.task[by_task])) + 1)
    tasks = [_split(tasks[index], settings.step_examples) for index in rng.permutation(len(tasks))]
    steps = [step for task in tasks for step in task]
    if settings.strategy is Strategy.BATCH_HOMOGENEOUS:
        # Tasks are shuffled, each task's steps stay in order: with locality they follow its windows.
        slot, task = rng.permutation(len(steps)), np.repeat(np.arange(len(tasks)), list(map(len, tasks)))
        steps = [steps[index] for index in np.argsort(slot[np.lexsort((slot, task))])]
    return steps


def _windows(examples: Examples, shards_a_task: int | None, rng: np.random.Generator) -> Ids:
    """For each example, the window of its task's shuffled shards that it is drawn from."""
    if examples.shard is None:
        raise PlanError("data.locality needs a store's shards: leave it out where there is no store")
    assert shards_a_task is not None
    task_of_shard = np.zeros(examples.shard.max() + 1, np.int32)
    task_of_shard[examples.shard] = examples.task
    shuffled = rng.permutation(len(task_of_shard))
    window = np.empty(len(task_of_shard), np.int64)
    window[shuffled] = _rank_within(task_of_shard[shuffled]) // shards_a_task
    return window[examples.shard]


def _rank_within(groups: NDArray[np.int32]) -> Ids:
    """For each position, how many earlier positions hold the same group."""
    by_group = _sort(groups)
    starts = np.r_[0, np.flatnonzero(np.diff(groups[by_group])) + 1]
    counts = np.diff(np.r_[starts, len(groups)])
    ranks = np.empty(len(groups), np.int64)
    ranks[by_group] = np.arange(len(groups)) - np.repeat(starts, counts)
    return ranks


def _sort(groups: NDArray[np.int32]) -> Ids:
    """Stable argsort; 16 bits, which NumPy sorts in linear time, hold any number of tasks."""
    return np.argsort(groups.astype(np.uint16), kind="stable")


def _split(order: Ids, step_examples: int) -> list[Ids]:
    return np.array_split(order, max(1, round(len(order) / step_examples)))
