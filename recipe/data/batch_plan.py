"""The batch plan: which examples form each optimiser step, and how a step is cut into microbatches and dealt to ranks.

Pure NumPy, no torch, no IO: the same inputs give the same plan on every rank. A step's examples depend on the seed and
the epoch alone, never on the number of ranks; only how a step is cut does. Promises (tests/recipe/test_batch_plan.py):
every example once an epoch, natural proportions, the same number of microbatches on every rank, no microbatch over the
token budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from recipe.errors import UserError

Ids = NDArray[np.int64]


class Strategy(str, Enum):
    """What may share a microbatch."""

    HETEROGENEOUS = "heterogeneous"  # one task a microbatch, many a step (MUPPET, section 3.3)
    MIXED = "mixed"  # rows of several tasks, of similar length: one backbone forward serves several heads


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
    """

    task: NDArray[np.int32]
    rows: NDArray[np.int64]
    encoder_tokens: NDArray[np.int64]
    decoder_tokens: NDArray[np.int64]
    generates: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.task)


@dataclass(frozen=True)
class PlanSettings:
    """How to plan; the fields are explained in :class:`recipe.config.DataConfig`."""

    strategy: Strategy
    step_examples: int
    token_budget: int
    seed: int
    max_examples_per_task: int | None = None


def padded_tokens(examples: Examples, ids: Ids) -> int:
    """Tokens, padding included, that a microbatch of ``ids`` costs: rows x (longest encoder + longest decoder row)."""
    longest = examples.encoder_tokens[ids].max() + examples.decoder_tokens[ids].max()
    return int(examples.rows[ids].sum() * longest)


def check_budget(examples: Examples, token_budget: int, task_names: list[str]) -> None:
    """Raises :class:`PlanError` if some example alone exceeds the budget; names its task and the smallest that fits."""
    cost = examples.rows * (examples.encoder_tokens + examples.decoder_tokens)
    worst = int(cost.argmax())
    if cost[worst] > token_budget:
        raise PlanError(
            f"data.token_budget={token_budget} is smaller than an example of task "
            f"{task_names[examples.task[worst]]!r}, which needs {cost[worst]} tokens "
            f"({examples.rows[worst]} rows): set data.token_budget to {cost.max()} or more, or convert the data with a "
            "smaller --max-length"
        )


def plan_epoch(examples: Examples, settings: PlanSettings, epoch: int) -> list[Ids]:
    """The epoch's steps: ids of each global batch, a natural random sample of all tasks.

    With ``max_examples_per_task`` every epoch draws its own random subset of the larger tasks. Steps differ in size by
    one example at most, so that no step at the epoch's end is a tiny one.
    """
    rng = np.random.default_rng((settings.seed, epoch))
    order = rng.permutation(len(examples))
    cap = settings.max_examples_per_task
    if cap is not None:
        # Shuffled again: the first of a large task all stand early in the order, those of a small one all over it.
        order = rng.permutation(order[_rank_within(examples.task[order]) < cap])
    return np.array_split(order, max(1, round(len(order) / settings.step_examples)))


def _rank_within(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """For each position, how many earlier positions hold the same group."""
    by_group = np.argsort(groups, kind="stable")
    starts = np.r_[0, np.flatnonzero(np.diff(groups[by_group])) + 1]
    counts = np.diff(np.r_[starts, len(groups)])
    ranks = np.empty(len(groups), np.int64)
    ranks[by_group] = np.arange(len(groups)) - np.repeat(starts, counts)
    return ranks


def cut_step(examples: Examples, ids: Ids, settings: PlanSettings, ranks: int) -> list[list[Ids]]:
    """Cuts one step into microbatches and deals them: ``result[rank][k]`` are the ids of that rank's k-th microbatch.

    Every rank gets the same number. Rows are sorted by length inside the step only, so what a step contains stays a
    natural sample.

    Raises:
        PlanError: The step has fewer examples than there are ranks.
    """
    if len(ids) < ranks:
        raise PlanError(
            f"a step of {len(ids)} examples cannot feed {ranks} ranks: raise data.step_examples or use fewer ranks"
        )
    group = examples.task if settings.strategy is Strategy.HETEROGENEOUS else examples.generates
    pieces = [
        piece
        for value in np.unique(group[ids])
        for piece in _cut_by_length(examples, ids[group[ids] == value], settings.token_budget)
    ]
    pieces = _split_to_multiple(examples, pieces, ranks)
    return _deal(pieces, [padded_tokens(examples, piece) for piece in pieces], ranks)


def _cut_by_length(examples: Examples, ids: Ids, token_budget: int) -> list[Ids]:
    """Sorts by length, longest first, and cuts greedily where the padded tokens would exceed the budget."""
    ids = ids[np.lexsort((ids, -examples.decoder_tokens[ids], -examples.encoder_tokens[ids]))]
    pieces = []
    while len(ids):
        rows = examples.rows[ids].cumsum()
        longest = np.maximum.accumulate(examples.encoder_tokens[ids])
        longest = longest + np.maximum.accumulate(examples.decoder_tokens[ids])
        size = max(1, int(np.searchsorted(rows * longest, token_budget, side="right")))
        pieces.append(ids[:size])
        ids = ids[size:]
    return pieces


def _split_to_multiple(examples: Examples, pieces: list[Ids], ranks: int) -> list[Ids]:
    """Halves the costliest microbatches until their number is a multiple of the number of ranks."""
    pieces = list(pieces)
    while len(pieces) % ranks:
        splittable = [i for i, piece in enumerate(pieces) if len(piece) > 1]
        costliest = max(splittable, key=lambda i: padded_tokens(examples, pieces[i]))
        middle = len(pieces[costliest]) // 2
        pieces[costliest : costliest + 1] = [pieces[costliest][:middle], pieces[costliest][middle:]]
    return pieces


def _deal(pieces: list[Ids], costs: list[int], ranks: int) -> list[list[Ids]]:
    """Deals round by round, the costliest left to the rank that has least: equal counts, balanced cost."""
    order = sorted(range(len(pieces)), key=lambda i: (-costs[i], int(pieces[i][0])))
    dealt: list[list[Ids]] = [[] for _ in range(ranks)]
    load = [0] * ranks
    for start in range(0, len(order), ranks):
        least_first = sorted(range(ranks), key=lambda rank: (load[rank], rank))
        for rank, piece in zip(least_first, order[start : start + ranks], strict=True):
            dealt[rank].append(pieces[piece])
            load[rank] += costs[piece]
    return dealt
