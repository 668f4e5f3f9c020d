"""How much better a start is than the reference, and how sure that is: pure functions of the runs.

Luck enters a comparison in two places, and each has its own yardstick.

- *Seeds*: another order of the data, another new head. With d_s the difference of the scores of seed s, the mean of S
  seeds has the 95 % interval ``mean(d) +- t * sd(d) / sqrt(S)`` (Student 1908), t the 97.5 % quantile for S - 1 degrees
  of freedom.
- *Examples*: another validation split of the same size. The paired bootstrap draws that many examples from it with
  replacement, the same for both starts, scores every run on them with the task's own metric and averages over seeds:
  percentiles of the differences are their 95 % interval (Koehn 2004), and the p-value is the share of draws in which
  the difference is off its observed value by at least as much as that is off zero (Berg-Kirkpatrick, Burkett and Klein
  2012, figure 1, here for both directions), the observed one counted as a draw (Phipson and Smyth 2010).

Several tasks give luck several chances, so p-values are corrected for the number of tasks (Holm 1979; Dror et al. 2017
for its use in NLP).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import fmean, stdev

import numpy as np

from recipe.protocol.bootstrap import RESAMPLES, Interval, paired_bootstrap, resampled_scores
from recipe.protocol.comparison import Comparison, Run
from recipe.tasks import Task

SIGNIFICANT = 0.05
# 97.5 % quantiles of Student's t for 1, 2, ... 30 degrees of freedom.
_T = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


class Verdict(str, Enum):
    """What the evidence says about one task and start."""

    HELPED = "helped"
    HURT = "hurt"
    UNCLEAR = "no clear difference"


@dataclass(frozen=True)
class Spread:
    """A score over seeds.

    Attributes:
        mean: Of the seeds.
        deviation: Standard deviation of the seeds as a sample (divided by S - 1); None of one seed.
        seeds: How many.
    """

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class Gain:
    """What a start scores more than the reference on a task, by its primary metric.

    Attributes:
        task: Its key.
        start: Its label.
        by_seed: The difference of each seed that both have.
        over_seeds: 95 % interval of the mean difference as the seed varies; None of one seed.
        over_examples: 95 % interval as the validation examples vary.
        p: Two-sided, of the paired bootstrap over examples.
        p_corrected: For the number of tasks that this start is compared on.
    """

    task: str
    start: str
    by_seed: Mapping[int, float]
    over_seeds: Interval | None
    over_examples: Interval
    p: float
    p_corrected: float

    @property
    def mean(self) -> float:
        """Over seeds."""
        return fmean(self.by_seed.values())

    @property
    def verdict(self) -> Verdict:
        """Helped or hurt if neither seeds nor examples explain the difference: the interval over seeds (where there are
        several) leaves zero out, and the corrected p-value is below 0.05."""
        seeds_explain = self.over_seeds is not None and self.over_seeds[0] <= 0 <= self.over_seeds[1]
        if seeds_explain or self.p_corrected >= SIGNIFICANT or self.mean == 0:
            return Verdict.UNCLEAR
        return Verdict.HELPED if self.mean > 0 else Verdict.HURT


@dataclass(frozen=True)
class Findings:
    """What a comparison found. Scores are fractions; a task's full fraction is the largest that was run.

    Attributes:
        runs: By task and start, those of the task's full fraction, in order of seeds.
        fractions: By task, start and fraction, the spread of the primary metric.
        gains: By task and start, at the full fraction, where start and reference share a seed.
    """

    runs: Mapping[tuple[str, str], Sequence[Run]]
    fractions: Mapping[tuple[str, str, float], Spread]
    gains: Mapping[tuple[str, str], Gain]

    def spread(self, task: str, start: str) -> Spread | None:
        """Of the primary metric at the task's full fraction; None without runs."""
        runs = self.runs.get((task, start))
        return spread([run.result.score for run in runs]) if runs else None

    def gains_of(self, start: str) -> list[Gain]:
        """Of one start, in the order of tasks."""
        return [gain for gain in self.gains.values() if gain.start == start]

    def mean_gain(self, start: str) -> tuple[float, Interval | None] | None:
        """The mean over tasks of a start's gains, with its 95 % interval over the seeds that all of them have.

        Returns:
            None without gains; no interval where fewer than two seeds are common to all tasks.
        """
        gains = self.gains_of(start)
        if not gains:
            return None
        seeds = set.intersection(*(set(gain.by_seed) for gain in gains))
        by_seed = [fmean(gain.by_seed[seed] for gain in gains) for seed in sorted(seeds)]
        return fmean(gain.mean for gain in gains), interval_over_seeds(by_seed)


def compare(comparison: Comparison, resamples: int = RESAMPLES) -> Findings:
    """Every mean, every gain over the reference, and how sure each is.

    Raises:
        ComparisonError: Runs of a task that were not scored on the same examples by the same metric, or whose
            predictions do not give the score that they report.
    """
    runs, fractions = _by_cell(comparison)
    labels = [start.label for start in comparison.starts]
    found: dict[str, list[Gain]] = {label: [] for label in labels}
    for task in comparison.tasks:
        own = {label: runs[task.key, label] for label in labels if (task.key, label) in runs}
        for gain in compare_task(task, own, comparison.reference.label, resamples):
            found[gain.start].append(gain)
    gains = {}
    for start, own in found.items():
        for gain, p in zip(own, holm([gain.p for gain in own]), strict=True):
            gains[gain.task, start] = replace(gain, p_corrected=p)
    return Findings(runs, fractions, gains)


def compare_task(
    task: Task, runs: Mapping[str, Sequence[Run]], reference: str, resamples: int = RESAMPLES
) -> list[Gain]:
    """Gains on one task, not yet corrected for the number of tasks.

    Args:
        task: Of all the runs.
        runs: By start, one for each seed.
        reference: The start that gains are over.
        resamples: Draws of the bootstrap.

    Returns:
        One for each other start that shares a seed with the reference.
    """
    if reference not in runs or len(runs) == 1:
        return []
    flat = [run for own in runs.values() for run in own]
    scores = resampled_scores(task, flat, resamples)
    column = {(run.start, run.result.seed): index for index, run in enumerate(flat)}
    gains = []
    for start, own in runs.items():
        seeds = [run.result.seed for run in own if (reference, run.result.seed) in column]
        if start == reference or not seeds:
            continue
        ours, theirs = (scores[:, [column[label, seed] for seed in seeds]] for label in (start, reference))
        differences = ours - theirs  # (1 + B, S): the first row as observed, the others resampled
        p, over_examples = paired_bootstrap(differences.mean(axis=1))
        by_seed = dict(zip(seeds, differences[0].tolist(), strict=True))
        gains.append(Gain(task.key, start, by_seed, interval_over_seeds(differences[0]), over_examples, p, p))
    return gains


def spread(scores: Sequence[float]) -> Spread:
    """Mean and standard deviation over seeds."""
    return Spread(fmean(scores), stdev(scores) if len(scores) > 1 else None, len(scores))


def interval_over_seeds(differences: Sequence[float] | np.ndarray) -> Interval | None:
    """The 95 % t-interval of a mean; None of fewer than two numbers. Beyond 31 it is slightly too wide."""
    seeds = len(differences)
    if seeds < 2:
        return None
    values = [float(value) for value in differences]
    half = _T[min(seeds - 1, len(_T)) - 1] * stdev(values) / seeds**0.5
    return fmean(values) - half, fmean(values) + half


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction (1979): the smallest p-value times their number, the next times one less, never decreasing."""
    corrected = [1.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = reached
    return corrected


def _by_cell(
    comparison: Comparison,
) -> tuple[dict[tuple[str, str], list[Run]], dict[tuple[str, str, float], Spread]]:
    full: dict[str, float] = {}
    cells: dict[tuple[str, str, float], list[Run]] = {}
    for run in sorted(comparison.runs, key=lambda run: run.result.seed):
        task, fraction = run.result.task, run.result.fraction
        full[task] = max(full.get(task, 0.0), fraction)
        cells.setdefault((task, run.start, fraction), []).append(run)
    spreads = {cell: spread([run.result.score for run in runs]) for cell, runs in cells.items()}
    return {(task, start): runs for (task, start, part), runs in cells.items() if part == full[task]}, spreads
