"""Gains over the reference: paired by seed, with the right intervals, corrected for the number of tasks."""

from __future__ import annotations

from dataclasses import replace
from math import gamma, pi, sqrt
from statistics import fmean

import numpy as np
import pytest

from recipe.protocol.bootstrap import draw_examples
from recipe.protocol.compare import Gain, Verdict, compare, holm, interval_over_seeds, spread
from recipe.protocol.comparison import ComparisonError, Start
from tests.fake_runs import PLAIN, fake_comparison, without

BETTER = Start("better", "runs/better")
STARTS = (PLAIN, BETTER)


def quality(task: str, start: Start, fraction: float) -> float:
    return 0.6 + 0.2 * (start is BETTER) - 0.2 * (1 - fraction)


def test_spread_is_the_mean_and_the_deviation_of_a_sample() -> None:
    found = spread([0.70, 0.72, 0.77])
    assert (found.mean, found.seeds) == (pytest.approx(0.73), 3)
    assert found.deviation == pytest.approx(np.std([0.70, 0.72, 0.77], ddof=1))
    assert spread([0.7]).deviation is None


def test_interval_of_a_known_example() -> None:
    """Mean 2, deviation 1, three numbers: 2 +- 4.303 / sqrt(3)."""
    assert interval_over_seeds([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.4843, 2 + 2.4843), abs=1e-4)
    assert interval_over_seeds([1.0]) is None


@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 31])
def test_interval_holds_95_percent_of_students_t(seeds: int) -> None:
    """The quantile behind an interval, against the integral of the density."""
    freedom = seeds - 1
    values = [0.0] * (seeds - 1) + [1.0]
    low, high = interval_over_seeds(values) or (0, 0)
    quantile = (high - low) / 2 / (np.std(values, ddof=1) / sqrt(seeds))
    x = np.linspace(-quantile, quantile, 200_001)
    density = (
        gamma((freedom + 1) / 2) / (sqrt(freedom * pi) * gamma(freedom / 2)) * (1 + x**2 / freedom) ** (-seeds / 2)
    )
    assert np.trapezoid(density, x) == pytest.approx(0.95, abs=1e-4)


def test_a_gain_is_the_mean_difference_of_equal_seeds_and_equal_draws() -> None:
    """Against a plain loop: both starts scored on the same draws, seeds averaged."""
    comparison = fake_comparison(["rte"], STARTS, quality, examples=50)
    gain = compare(comparison, resamples=200).gains["rte", "better"]
    right = {
        (run.start, run.result.seed): np.equal(run.predictions.predictions, run.predictions.references)
        for run in comparison.runs
    }
    by_seed = {seed: right["better", seed].mean() - right["MiniLM", seed].mean() for seed in (1, 2, 3)}
    assert gain.by_seed == pytest.approx(by_seed)
    drawn = [
        fmean(right["better", seed][index].mean() - right["MiniLM", seed][index].mean() for seed in (1, 2, 3))
        for index in draw_examples(50, 200)
    ]
    observed = fmean(by_seed.values())
    assert gain.over_examples == pytest.approx(tuple(np.percentile(drawn, (2.5, 97.5))))
    assert gain.p == (1 + sum(abs(d - observed) >= abs(observed) - 1e-9 for d in drawn)) / 201
    assert gain.over_seeds == interval_over_seeds(list(gain.by_seed.values()))


def test_only_seeds_in_common_make_a_gain() -> None:
    comparison = without(fake_comparison(["rte", "cb"], STARTS, quality, examples=20), "rte", "better", seed=2)
    comparison = without(comparison, "cb", "MiniLM")
    found = compare(comparison, resamples=10)
    assert set(found.gains["rte", "better"].by_seed) == {1, 3}
    assert ("cb", "better") not in found.gains and found.spread("cb", "better") is not None


def test_gains_are_at_the_largest_fraction_and_spreads_at_every_one() -> None:
    comparison = fake_comparison(["rte"], STARTS, quality, fractions=(0.1, 0.5), examples=20)
    found = compare(comparison, resamples=10)
    assert {run.result.fraction for runs in found.runs.values() for run in runs} == {0.5}
    assert set(found.fractions) == {("rte", start, part) for start in ("MiniLM", "better") for part in (0.1, 0.5)}


def test_mean_gain_is_over_tasks_with_an_interval_over_seeds() -> None:
    comparison = fake_comparison(["rte", "copa"], STARTS, quality, examples=50)
    found = compare(comparison, resamples=10)
    rte, copa = (found.gains[key, "better"] for key in ("rte", "copa"))
    expected = [(rte.by_seed[seed] + copa.by_seed[seed]) / 2 for seed in (1, 2, 3)]
    assert found.mean_gain("better") == (pytest.approx(fmean(expected)), interval_over_seeds(expected))
    assert found.mean_gain("MiniLM") is None


def test_holm_corrects_for_the_number_of_tasks_of_a_start() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.7, 0.6]) == [1.0, 1.0]
    found = compare(fake_comparison(["rte", "copa", "cb"], STARTS, quality, examples=40), resamples=50)
    gains = found.gains_of("better")
    assert [gain.p_corrected for gain in gains] == holm([gain.p for gain in gains])


@pytest.mark.parametrize(
    ("by_seed", "over_seeds", "p", "verdict"),
    [
        ({1: 0.02, 2: 0.03}, (0.01, 0.04), 0.01, Verdict.HELPED),
        ({1: -0.02, 2: -0.03}, (-0.04, -0.01), 0.01, Verdict.HURT),
        ({1: 0.02, 2: 0.03}, (-0.01, 0.06), 0.01, Verdict.UNCLEAR),
        ({1: 0.02, 2: 0.03}, (0.01, 0.04), 0.05, Verdict.UNCLEAR),
        ({1: 0.02}, None, 0.01, Verdict.HELPED),
        ({1: 0.0}, None, 1.0, Verdict.UNCLEAR),
    ],
)
def test_neither_seeds_nor_examples_may_explain_a_verdict(
    by_seed: dict[int, float], over_seeds: tuple[float, float] | None, p: float, verdict: Verdict
) -> None:
    assert Gain("rte", "better", by_seed, over_seeds, (0.0, 0.1), 0.001, p).verdict is verdict


def test_comparisons_that_make_no_sense_are_refused() -> None:
    comparison = fake_comparison(["rte"], STARTS, quality, examples=10)
    with pytest.raises(ComparisonError, match=r"one reference among its starts, not 2 \(MiniLM, better\)"):
        replace(comparison, starts=[PLAIN, replace(BETTER, reference=True)])
    with pytest.raises(ComparisonError, match="not 0"):
        replace(comparison, starts=[BETTER])
    with pytest.raises(ComparisonError, match="start MiniLM is there twice"):
        replace(comparison, starts=[PLAIN, replace(BETTER, label="MiniLM")])
    with pytest.raises(ComparisonError, match="start is 'better', which is not one of MiniLM"):
        replace(comparison, starts=[PLAIN])
    with pytest.raises(ComparisonError, match="task is 'rte', which is not one of"):
        replace(comparison, tasks=[])
    with pytest.raises(ComparisonError, match=r"run rte from MiniLM, fraction 1\.0, seed 1 is there twice"):
        replace(comparison, runs=[*comparison.runs, comparison.runs[0]])
