"""Plan an epoch, cut a sample of its steps, and add up what the devices would do. R ranks, K microbatches a rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recipe.data.batch_plan import Examples, Ids, PlanSettings, Strategy, plan_epoch
from recipe.data.cut_step import Microbatches, check_ranks, cut_step, padded_tokens
from recipe.data.simulate.lengths import Lengths

FIXED = "fixed batches"
Step = TypeVar("Step")


@dataclass(frozen=True)
class Outcome:
    """One way to batch; means are over the sampled steps.

    Attributes:
        name: A strategy's, or :data:`FIXED`.
        steps: Of an epoch.
        step_examples: Examples of a step; ``step_tasks`` its tasks; ``step_tokens`` its tokens without padding.
        microbatches: Of a rank in a step (K).
        largest: Padded tokens of the largest microbatch; ``logits`` the most target positions of one that generates.
        real: Share of the processed tokens that are not padding.
        busy: Share of the time that ranks compute, if they wait for one another at a step's end (DDP).
        lockstep: The same if they wait at every microbatch (FSDP).
        rank_tokens: Padded tokens of the busiest rank in an epoch: they decide how long it takes.
    """

    name: str
    steps: int
    step_examples: float
    step_tasks: float
    step_tokens: float
    microbatches: float
    largest: int
    logits: int
    real: float
    busy: float
    lockstep: float
    rank_tokens: float

    @property
    def useful(self) -> float:
        """Share of the devices' time that goes into real tokens."""
        return self.busy * self.real


def simulate_strategy(lengths: Lengths, settings: PlanSettings, ranks: int, sample: int) -> Outcome:
    """Outcome of a strategy on ``ranks`` ranks, from ``sample`` steps spread over the first epoch.

    Raises:
        PlanError: The settings cannot be planned on that many ranks.
    """
    steps = plan_epoch(lengths.examples, settings, epoch=0)
    check_ranks(lengths.examples, steps, ranks, lengths.tasks)
    if settings.strategy.one_task_a_step:  # evenly over the tasks, too
        steps.sort(key=lambda step: (int(lengths.examples.task[step[0]]), int(step[0])))
    return _outcome(
        settings.strategy.value, lengths, steps, lambda ids: cut_step(lengths.examples, ids, settings, ranks), sample
    )


def simulate_fixed(lengths: Lengths, settings: PlanSettings, ranks: int, sample: int) -> Outcome:
    """Outcome of what multi-task training does otherwise: each rank has one task and a fixed number of examples.

    A step is ``ranks`` batches of ``step_examples / ranks`` shuffled examples, each of one task, padded to its longest;
    tasks appear in proportion to their sizes.
    """
    size = max(1, settings.step_examples // ranks)
    in_batches = replace(settings, strategy=Strategy.BATCH_HOMOGENEOUS, step_examples=size, max_steps_per_epoch=None)
    batches = plan_epoch(lengths.examples, in_batches, epoch=0)
    steps = [[[ids] for ids in batches[start : start + ranks]] for start in range(0, len(batches), ranks)]
    return _outcome(FIXED, lengths, steps[:-1] or steps, lambda step: step, sample)


def _outcome(
    name: str, lengths: Lengths, steps: Sequence[Step], cut: Callable[[Step], Microbatches], sample: int
) -> Outcome:
    cuts = [cut(steps[index]) for index in np.unique(np.linspace(0, len(steps) - 1, sample).astype(int))]
    chosen = [np.concatenate([ids for own in ranks for ids in own]) for ranks in cuts]
    costs = [_costs(lengths.examples, ranks) for ranks in cuts]
    padded = np.array([cost.sum() for cost in costs], np.float64)
    slowest = np.array([cost.sum(axis=1).max() for cost in costs], np.float64)
    rounds = np.array([cost.max(axis=0).sum() for cost in costs], np.float64)
    real = np.array([lengths.real_tokens[step].sum() for step in chosen])
    ranks = len(cuts[0])
    return Outcome(
        name=name,
        steps=len(steps),
        step_examples=float(np.mean([len(step) for step in chosen])),
        step_tasks=float(np.mean([len(np.unique(lengths.examples.task[step])) for step in chosen])),
        step_tokens=float(real.mean()),
        microbatches=float(np.mean([cost.shape[1] for cost in costs])),
        largest=max(int(cost.max()) for cost in costs),
        logits=max(_targets(lengths.examples, ids) for ranks in cuts for own in ranks for ids in own),
        real=float(real.sum() / padded.sum()),
        busy=float(padded.sum() / (ranks * slowest.sum())),
        lockstep=float(padded.sum() / (ranks * rounds.sum())),
        rank_tokens=float(slowest.mean() * len(steps)),
    )


def _costs(examples: Examples, microbatches: Microbatches) -> NDArray[np.int64]:
    """(R, K) padded tokens."""
    return np.array([[padded_tokens(examples, ids) for ids in own] for own in microbatches])


def _targets(examples: Examples, ids: Ids) -> int:
    if not examples.generates[ids[0]]:
        return 0
    return int(examples.rows[ids].sum() * examples.decoder_tokens[ids].max())
