"""The batch plan's second half: how one step is cut into microbatches and dealt to ranks.

Pure, no torch, no IO. Rows are sorted by length inside the step only, so what a step contains stays a natural sample.
Promises (tests/recipe/test_batch_plan.py): no example lost, the same number of microbatches on every rank, none empty,
none over the token budget, none that holds what must not share one.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from recipe.data.batch_plan import Examples, Ids, PlanError, PlanSettings, Strategy

Microbatches = list[list[Ids]]  # by rank, then by round

_TOLERANCE = 1 / 256  # how much dearer than the least possible the dearest microbatch may be
_OVERHEAD = 1 / 16  # of the token budget: what starting a microbatch is taken to cost, see docs/batching.md
_LOOKAHEAD = 16  # examples among which one is sought that fits where the next one does not
_FULL = 1 - 1 / 64  # share of a microbatch's rows from which on it is full enough


def padded_tokens(examples: Examples, ids: Ids) -> int:
    """Tokens, padding included, that a microbatch of ``ids`` costs: rows x (longest encoder + longest decoder row)."""
    longest = examples.encoder_tokens[ids].max() + examples.decoder_tokens[ids].max()
    return int(examples.rows[ids].sum() * longest)


def check_budget(examples: Examples, token_budget: int, task_names: list[str]) -> None:
    """Raises :class:`PlanError` if some example alone exceeds the budget; names its task and the smallest that fits."""
    cost = examples.padded_tokens
    worst = int(cost.argmax())
    if cost[worst] > token_budget:
        raise PlanError(
            f"data.token_budget={token_budget} is smaller than an example of task "
            f"{task_names[examples.task[worst]]!r}, which needs {cost[worst]} tokens "
            f"({examples.rows[worst]} rows): set data.token_budget to {cost.max()} or more, or convert the data with a "
            "smaller --max-length"
        )


def check_ranks(examples: Examples, steps: list[Ids], ranks: int, task_names: list[str]) -> None:
    """Raises :class:`PlanError` if some step has fewer examples than there are ranks, before training comes to it."""
    smallest = min(steps, key=len)
    if len(smallest) < ranks:
        tasks = sorted({task_names[task] for task in examples.task[smallest]})
        whose = f"of task {tasks[0]!r}" if len(tasks) == 1 else "of several tasks"
        raise PlanError(
            f"data.step_examples and data.strategy give a step of {len(smallest)} examples ({whose}), too few for "
            f"{ranks} ranks: use fewer ranks, "
            + ("data.strategy=mixed, or leave out that task" if len(tasks) == 1 else "or larger steps")
        )


def cut_step(examples: Examples, ids: Ids, settings: PlanSettings, ranks: int) -> Microbatches:
    """Cuts one step into microbatches and deals them: ``result[rank][k]`` are the ids of that rank's k-th microbatch.

    Every rank gets the same number, the least that the budget allows or a few times that where it saves padding or
    waiting. Their costs are as equal as the step allows: over all of them, between ranks, and between the k-th of every
    rank (sharded ranks run them in lockstep).

    Raises:
        PlanError: The step has too few examples for that many ranks.
    """
    groups = _group_by_length(examples, ids, one_task=settings.strategy is not Strategy.MIXED)
    fewest = sum(len(_cut(group, settings.token_budget).stops) for group in groups)
    rounds = max(1, -(-fewest // ranks))
    if rounds * ranks > len(ids):
        raise PlanError(
            f"a step of {len(ids)} examples cannot feed {ranks} ranks with {rounds} microbatches each: raise "
            "data.step_examples, use fewer ranks, or leave out the tasks that are that small"
        )
    overhead = settings.token_budget * _OVERHEAD
    unpadded = sum(group.total for group in groups) / ranks
    best = _cut_into(groups, rounds * ranks, settings.token_budget)
    while (rounds := 2 * rounds) * ranks <= len(ids):
        if unpadded + rounds * overhead >= _duration(best, ranks, overhead):
            break  # even without any padding it would take longer
        finer = _cut_into(groups, rounds * ranks, settings.token_budget)
        if _duration(finer, ranks, overhead) >= _duration(best, ranks, overhead):
            break
        best = finer
    return _deal(best, ranks)


@dataclass(frozen=True)
class _Group:
    """Examples that may share a microbatch, longest first. Lists, not arrays: a cut asks for single numbers.

    Attributes:
        ids: (n,) examples.
        rows_before: (n + 1,) rows of all earlier examples.
        encoder: (n,) never rises.
        decoder: (n,) or None if included in ``encoder`` because their sum never rises either.
        total: What the examples would cost without padding.
        dearest: What the most expensive one costs.
        uneven: Whether some have more rows than others.
    """

    ids: list[int]
    rows_before: list[int]
    encoder: list[int]
    decoder: list[int] | None
    total: int
    dearest: int
    uneven: bool

    def copy(self) -> _Group:
        return replace(self, ids=self.ids[:], rows_before=self.rows_before[:], encoder=self.encoder[:])

    def bring_forward(self, old: int, new: int) -> None:
        """Moves an example to an earlier place, past longer ones."""
        rows = self.rows_before[old + 1] - self.rows_before[old]
        for place in range(old, new, -1):
            self.rows_before[place] = self.rows_before[place - 1] + rows
        self.ids.insert(new, self.ids.pop(old))
        self.encoder.insert(new, self.encoder.pop(old))

    def cost(self, start: int, stop: int) -> int:
        longest = self.encoder[start] + (max(self.decoder[start:stop]) if self.decoder else 0)
        return (self.rows_before[stop] - self.rows_before[start]) * longest


@dataclass(frozen=True)
class _Cut:
    """A group, its examples in the microbatches' order, and where each microbatch stops."""

    group: _Group
    stops: list[int]


@dataclass(frozen=True, order=True)
class _Piece:
    """A microbatch to be. Ordered by cost, dearest first."""

    negative_cost: int
    group: int
    start: int
    stop: int


@dataclass(frozen=True)
class _Cutting:
    """A step's groups and the pieces that they are cut into, dearest first."""

    groups: list[_Group]
    pieces: list[_Piece]


def _group_by_length(examples: Examples, ids: Ids, *, one_task: bool) -> list[_Group]:
    kind = examples.task[ids] if one_task else examples.generates[ids]
    encoder, decoder = examples.encoder_tokens[ids], examples.decoder_tokens[ids]
    order = np.lexsort((-decoder, -encoder, kind))
    bounds = np.flatnonzero(np.diff(kind[order])) + 1
    return [_group(examples, part) for part in np.split(ids[order], bounds)]


def _group(examples: Examples, ids: Ids) -> _Group:
    rows, encoder, decoder = examples.rows[ids], examples.encoder_tokens[ids], examples.decoder_tokens[ids]
    cost = rows * (encoder + decoder)
    sorted_too = bool((np.diff(decoder) <= 0).all())
    return _Group(
        ids.tolist(),
        [0, *rows.cumsum().tolist()],
        (encoder + decoder if sorted_too else encoder).tolist(),
        None if sorted_too else decoder.tolist(),
        int(cost.sum()),
        int(cost.max()),
        sorted_too and bool((rows != rows[0]).any()),
    )


def _cut(group: _Group, limit: int) -> _Cut:
    """Stops each microbatch, greedily, where it would cost more than ``limit``."""
    if group.uneven:
        group = group.copy()
    before, encoder, decoder = group.rows_before, group.encoder, group.decoder
    stops, start = [], 0
    while start < len(encoder):
        longest = encoder[start] + (decoder[start] if decoder else 0)
        stop = bisect_right(before, before[start] + limit // longest, start + 2) - 1
        if decoder:
            longest = encoder[start] + max(decoder[start:stop])
            stop = bisect_right(before, before[start] + limit // longest, start + 2, stop + 1) - 1
        if group.uneven:
            stop = _fill(group, start, stop, limit // longest)
        stops.append(stop)
        start = stop
    return _Cut(group, stops)


def _fill(group: _Group, start: int, stop: int, most_rows: int) -> int:
    """Fills a microbatch that stops before an example with many rows with later ones that have few: its new stop."""
    before = group.rows_before
    first = before[start]
    for candidate in range(stop, min(stop + _LOOKAHEAD, len(group.ids))):
        if before[stop] - first >= _FULL * most_rows:
            break
        if before[stop] - first + before[candidate + 1] - before[candidate] <= most_rows:
            group.bring_forward(candidate, stop)
            stop += 1
    return stop


def _cut_into(groups: list[_Group], count: int, budget: int) -> _Cutting:
    """Exactly ``count`` pieces whose dearest is about as cheap as can be; the budget must allow that few."""
    low = max(sum(group.total for group in groups) // count, *(group.dearest for group in groups))
    high = budget
    cuts = [_cut(group, low) for group in groups]
    if _count(cuts) > count:
        cuts = [_cut(group, high) for group in groups]
        while high - low > max(1, high * _TOLERANCE):
            middle = (low + high) // 2
            tried = [_cut(group, middle) for group in groups]
            if _count(tried) <= count:
                high, cuts = middle, tried
            else:
                low = middle
    pieces = [
        _Piece(-cut.group.cost(start, stop), index, start, stop)
        for index, cut in enumerate(cuts)
        for start, stop in pairwise([0, *cut.stops])
    ]
    groups = [cut.group for cut in cuts]
    return _Cutting(groups, _split_dearest(groups, pieces, count))


def _count(cuts: list[_Cut]) -> int:
    return sum(len(cut.stops) for cut in cuts)


def _split_dearest(groups: list[_Group], pieces: list[_Piece], count: int) -> list[_Piece]:
    """Halves the dearest pieces that can be halved until there are ``count``."""
    heapq.heapify(pieces)
    single = []
    while len(pieces) + len(single) < count:
        piece = heapq.heappop(pieces)
        if piece.stop - piece.start == 1:
            single.append(piece)
            continue
        middle, group = (piece.start + piece.stop) // 2, groups[piece.group]
        heapq.heappush(pieces, _Piece(-group.cost(piece.start, middle), piece.group, piece.start, middle))
        heapq.heappush(pieces, _Piece(-group.cost(middle, piece.stop), piece.group, middle, piece.stop))
    return sorted(pieces + single)


def _duration(cutting: _Cutting, ranks: int, overhead: float) -> float:
    """How long the step takes, in tokens, if all ranks wait for the dearest microbatch of every round."""
    return sum(overhead - piece.negative_cost for piece in cutting.pieces[::ranks])


def _deal(cutting: _Cutting, ranks: int) -> Microbatches:
    """Deals round by round, dearest first, a round's dearest to the rank that has least: costs of a round are alike."""
    dealt: Microbatches = [[] for _ in range(ranks)]
    load = [0] * ranks
    for first in range(0, len(cutting.pieces), ranks):
        least_first = sorted(range(ranks), key=lambda rank: (load[rank], rank))
        for rank, piece in zip(least_first, cutting.pieces[first : first + ranks], strict=True):
            dealt[rank].append(np.array(cutting.groups[piece.group].ids[piece.start : piece.stop]))
            load[rank] -= piece.negative_cost
    return dealt
