"""The batch plan's promises, as properties over all strategies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.data.batch_plan import (
    Examples,
    PlanError,
    PlanSettings,
    Strategy,
    check_budget,
    cut_step,
    padded_tokens,
    plan_epoch,
)

BUDGET = 4096  # holds any example below: 5 rows x (128 + 256) tokens, twice


@st.composite
def example_sets(draw) -> Examples:
    """Some tasks of very different sizes, row counts and lengths; some of them generate."""
    sizes = draw(st.lists(st.integers(1, 120), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    task = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    generates = (rng.random(len(sizes)) < 0.3)[task]
    rows = np.where(generates, 1, rng.integers(1, 6, len(sizes))[task]).astype(np.int64)
    longest = rng.integers(3, 129, len(task))
    decoder = np.where(generates, rng.integers(2, 257, len(task)), longest)
    return Examples(task, rows, longest, decoder, generates)


def plan_settings(strategy: Strategy, step_examples: int = 32, seed: int = 1, cap: int | None = None) -> PlanSettings:
    return PlanSettings(strategy, step_examples, BUDGET, seed, cap)


strategies = st.sampled_from(list(Strategy))


@given(example_sets(), strategies, st.integers(1, 64), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_every_example_appears_once_per_epoch(examples, strategy, step_examples, epoch):
    steps = plan_epoch(examples, plan_settings(strategy, step_examples), epoch)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(examples)))


@given(example_sets(), strategies, st.integers(1, 9))
@settings(deadline=None, max_examples=100)
def test_a_cut_step_keeps_every_example_and_gives_all_ranks_as_many_microbatches(examples, strategy, ranks):
    for step in plan_epoch(examples, plan_settings(strategy), 0):
        if len(step) < ranks:
            with pytest.raises(PlanError, match="cannot feed"):
                cut_step(examples, step, plan_settings(strategy), ranks)
            continue
        dealt = cut_step(examples, step, plan_settings(strategy), ranks)
        assert len(dealt) == ranks
        assert len({len(microbatches) for microbatches in dealt}) == 1
        assert sorted(np.concatenate([ids for rank in dealt for ids in rank]).tolist()) == sorted(step.tolist())


@given(example_sets(), strategies, st.integers(1, 9))
@settings(deadline=None, max_examples=100)
def test_no_microbatch_is_empty_or_exceeds_the_token_budget_or_mixes_kinds(examples, strategy, ranks):
    for step in plan_epoch(examples, plan_settings(strategy), 0):
        if len(step) < ranks:
            continue
        for ids in (ids for rank in cut_step(examples, step, plan_settings(strategy), ranks) for ids in rank):
            assert len(ids) > 0
            assert padded_tokens(examples, ids) <= BUDGET
            assert len(set(examples.generates[ids])) == 1
            if strategy is Strategy.HETEROGENEOUS:
                assert len(set(examples.task[ids])) == 1


@given(example_sets(), strategies, st.integers(1, 50), st.integers(0, 3))
@settings(deadline=None, max_examples=60)
def test_a_cap_limits_every_task_and_leaves_small_ones_whole(examples, strategy, cap, epoch):
    ids = np.concatenate(plan_epoch(examples, plan_settings(strategy, cap=cap), epoch))
    assert len(set(ids.tolist())) == len(ids)
    natural = np.bincount(examples.task)
    assert np.bincount(examples.task[ids], minlength=len(natural)).tolist() == np.minimum(natural, cap).tolist()


def many_examples(n: int = 4000) -> Examples:
    rng = np.random.default_rng(0)
    task = rng.choice(3, n, p=[0.7, 0.25, 0.05]).astype(np.int32)
    length = rng.integers(5, 128, n)
    return Examples(task, np.ones(n, np.int64), length, np.zeros(n, np.int64), np.zeros(n, bool))


def test_steps_are_natural_samples_of_the_tasks():
    examples = many_examples()
    shares = [np.bincount(examples.task[s], minlength=3) / len(s) for s in plan_epoch(examples, _mixed(500), 0)]
    assert np.allclose(shares, [0.7, 0.25, 0.05], atol=0.08)


def test_steps_differ_in_size_by_one_example_at_most():
    sizes = {len(step) for step in plan_epoch(many_examples(1003), _mixed(100), 0)}
    assert max(sizes) - min(sizes) <= 1


def test_epochs_and_seeds_differ_and_the_same_ones_repeat():
    examples = many_examples(300)
    first = [step.tolist() for step in plan_epoch(examples, _mixed(50), 0)]
    assert first == [step.tolist() for step in plan_epoch(examples, _mixed(50), 0)]
    assert first != [step.tolist() for step in plan_epoch(examples, _mixed(50), 1)]
    assert first != [step.tolist() for step in plan_epoch(examples, _mixed(50, seed=2), 0)]


def test_capped_epochs_draw_different_examples_of_a_large_task():
    examples = many_examples(1000)
    drawn = [set(np.concatenate(plan_epoch(examples, _mixed(50, cap=100), epoch)).tolist()) for epoch in (0, 1)]
    assert drawn[0] != drawn[1]


def test_capped_steps_are_alike_from_the_first_to_the_last():
    """A cap must not bring the large tasks' examples first and leave the small tasks for the end."""
    examples = many_examples()
    steps = plan_epoch(examples, _mixed(100, cap=200), 0)
    shares = [np.bincount(examples.task[step], minlength=3) / len(step) for step in steps]
    assert len(steps) == 6 and np.allclose(shares, [1 / 3, 1 / 3, 1 / 3], atol=0.15)


def test_mixed_wastes_less_on_padding_than_one_task_a_microbatch():
    examples = many_examples()
    real = (examples.rows * examples.encoder_tokens).sum()

    def padded(strategy: Strategy) -> int:
        plan = plan_settings(strategy, 512)
        return sum(
            padded_tokens(examples, ids)
            for step in plan_epoch(examples, plan, 0)
            for rank in cut_step(examples, step, plan, 4)
            for ids in rank
        )

    assert real <= padded(Strategy.MIXED) < padded(Strategy.HETEROGENEOUS)


def test_ranks_get_about_equal_cost():
    examples = many_examples()
    step = plan_epoch(examples, _mixed(1024), 0)[0]
    loads = [sum(padded_tokens(examples, ids) for ids in rank) for rank in cut_step(examples, step, _mixed(1024), 4)]
    assert max(loads) < 1.2 * min(loads)


def test_a_budget_below_the_longest_example_names_the_task_and_the_smallest_that_fits():
    one = np.ones(2, np.int64)
    examples = Examples(np.array([0, 1], np.int32), one * 5, one * [10, 40], one * 0, np.zeros(2, bool))
    check_budget(examples, 200, ["cola", "race"])
    with pytest.raises(PlanError, match=r"token_budget=199.*'race'.*needs 200 tokens.*to 200 or more"):
        check_budget(examples, 199, ["cola", "race"])


def _mixed(step_examples: int, seed: int = 1, cap: int | None = None) -> PlanSettings:
    return plan_settings(Strategy.MIXED, step_examples, seed, cap)
