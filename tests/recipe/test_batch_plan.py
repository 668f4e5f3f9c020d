"""The batch plan's promises, as properties over all strategies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.data.batch_plan import (
    Examples,
    PlanError,
    PlanSettings,
    Strategy,
    plan_epoch,
    step_weights,
    subset,
    task_counts,
)
from recipe.data.cut_step import Microbatches, check_budget, check_ranks, cut_step, padded_tokens

BUDGET = 4096  # holds any example below: 5 rows x (128 + 256) tokens, twice


@st.composite
def example_sets(draw) -> Examples:
    """Some tasks of very different sizes, row counts and lengths, a few shards each; some of them generate."""
    sizes = draw(st.lists(st.integers(1, 120), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    task = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    generates = (rng.random(len(sizes)) < 0.3)[task]
    rows = np.where(generates, 1, rng.integers(1, 6, len(sizes))[task]).astype(np.int64)
    longest = rng.integers(3, 129, len(task))
    decoder = np.where(generates, rng.integers(2, 257, len(task)), longest)
    place = np.arange(len(task)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    new_shard = (place % draw(st.integers(1, 30)) == 0).astype(np.int64)
    return Examples(task, rows, longest, decoder, generates, new_shard.cumsum() - 1)


def plan_settings(strategy: Strategy, step_examples: int = 32, seed: int = 1, **options) -> PlanSettings:
    return PlanSettings(strategy, step_examples, BUDGET, seed, **options)


def microbatches(dealt: Microbatches) -> list[np.ndarray]:
    return [ids for rank in dealt for ids in rank]


strategies = st.sampled_from(list(Strategy))
localities = st.none() | st.integers(1, 4)


@given(example_sets(), strategies, st.integers(1, 64), st.integers(0, 3), localities)
@settings(deadline=None, max_examples=100)
def test_every_example_appears_once_per_epoch(examples, strategy, step_examples, epoch, locality):
    steps = plan_epoch(examples, plan_settings(strategy, step_examples, locality=locality), epoch)
    assert sorted(np.concatenate(steps).tolist()) == list(range(len(examples)))


@given(example_sets(), strategies, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
@settings(deadline=None, max_examples=60)
def test_a_fraction_is_the_same_share_of_each_task_in_every_run_and_holds_every_smaller_one(
    examples, strategy, one, other
):
    smaller, larger = (subset(examples.task, fraction) for fraction in sorted((one, other)))
    assert set(smaller) <= set(larger)
    sizes = np.bincount(examples.task)
    assert (np.abs(np.bincount(examples.task[smaller], minlength=len(sizes)) - min(one, other) * sizes) <= 1).all()
    for seed in (1, 2):
        steps = plan_epoch(examples, plan_settings(strategy, seed=seed, fraction=min(one, other)), 0)
        assert sorted(np.concatenate(steps).tolist()) == smaller.tolist()


@given(example_sets(), strategies, st.integers(1, 64), st.floats(1, 8))
@settings(deadline=None, max_examples=60)
def test_steps_differ_in_size_by_one_example_at_most(examples, strategy, step_examples, temperature):
    steps = plan_epoch(examples, plan_settings(strategy, step_examples, temperature=temperature), 0)
    groups = [examples.task[step[0]] if strategy.one_task_a_step else 0 for step in steps]
    for group in set(groups):
        sizes = [len(step) for step, own in zip(steps, groups, strict=True) if own == group]
        assert max(sizes) - min(sizes) <= 1


@given(example_sets(), strategies)
@settings(deadline=None, max_examples=60)
def test_a_homogeneous_step_is_one_task_and_datasets_follow_one_another_if_asked_to(examples, strategy):
    steps = [examples.task[step] for step in plan_epoch(examples, plan_settings(strategy, 8), 0)]
    if strategy.one_task_a_step:
        assert all(len(set(step)) == 1 for step in steps)
    if strategy is Strategy.DATASET_HOMOGENEOUS:
        changes = (np.diff(np.concatenate(steps)) != 0).sum()
        assert changes == len(set(examples.task)) - 1


@given(example_sets(), strategies, st.integers(1, 9))
@settings(deadline=None, max_examples=150)
def test_a_cut_step_keeps_every_example_and_gives_all_ranks_as_many_microbatches(examples, strategy, ranks):
    for step in plan_epoch(examples, plan_settings(strategy), 0):
        try:
            dealt = cut_step(examples, step, plan_settings(strategy), ranks)
        except PlanError as error:
            assert "cannot feed" in str(error)
            alone = cut_step(examples, step, plan_settings(strategy), 1)[0]
            assert len(step) < len(alone) + ranks, "only a step that leaves some rank without an example is refused"
            continue
        assert len(dealt) == ranks
        assert len({len(own) for own in dealt}) == 1
        assert sorted(np.concatenate(microbatches(dealt)).tolist()) == sorted(step.tolist())


@given(example_sets(), strategies, st.integers(1, 9))
@settings(deadline=None, max_examples=150)
def test_no_microbatch_is_empty_or_exceeds_the_token_budget_or_mixes_kinds(examples, strategy, ranks):
    for step in plan_epoch(examples, plan_settings(strategy, 64), 0):
        if len(step) < 2 * ranks + 32:
            continue
        for ids in microbatches(cut_step(examples, step, plan_settings(strategy), ranks)):
            assert len(ids) > 0
            assert padded_tokens(examples, ids) <= BUDGET
            assert len(set(examples.generates[ids])) == 1
            if strategy is not Strategy.MIXED:
                assert len(set(examples.task[ids])) == 1


@given(example_sets(), strategies, st.integers(1, 50), st.integers(0, 3), localities)
@settings(deadline=None, max_examples=60)
def test_a_cap_limits_every_task_and_leaves_small_ones_whole(examples, strategy, cap, epoch, locality):
    planned = plan_settings(strategy, max_examples_per_task=cap, locality=locality)
    ids = np.concatenate(plan_epoch(examples, planned, epoch))
    assert len(set(ids.tolist())) == len(ids)
    natural = np.bincount(examples.task)
    assert np.bincount(examples.task[ids], minlength=len(natural)).tolist() == np.minimum(natural, cap).tolist()


@given(example_sets(), strategies, st.floats(0.5, 50), localities)
@settings(deadline=None, max_examples=60)
def test_a_temperature_repeats_no_example_before_its_whole_task_was_seen(examples, strategy, temperature, locality):
    planned = plan_settings(strategy, temperature=temperature, locality=locality)
    ids = np.concatenate(plan_epoch(examples, planned, 0))
    times = np.bincount(ids, minlength=len(examples))
    assert np.bincount(examples.task[ids]).tolist() == task_counts(examples, planned).tolist()
    for task in set(examples.task):
        own = times[examples.task == task]
        assert own.max() - own.min() <= 1 and own.sum() > 0


@given(example_sets(), strategies, st.integers(1, 5))
@settings(deadline=None, max_examples=30)
def test_an_epoch_that_ends_early_is_the_beginning_of_the_whole_one(examples, strategy, most):
    whole = plan_epoch(examples, plan_settings(strategy, 8), 0)
    early = plan_epoch(examples, plan_settings(strategy, 8, max_steps_per_epoch=most), 0)
    assert [step.tolist() for step in early] == [step.tolist() for step in whole[:most]]


@given(example_sets(), strategies, st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_locality_opens_no_more_shards_of_a_task_at_a_time(examples, strategy, locality):
    order = np.concatenate(plan_epoch(examples, plan_settings(strategy, locality=locality), 0))
    for task in set(examples.task):
        shards = examples.shard[order[examples.task[order] == task]]
        spans = [np.flatnonzero(shards == shard)[[0, -1]] for shard in set(shards.tolist())]
        for place in range(len(shards)):
            assert sum(first <= place <= last for first, last in spans) <= locality


@given(example_sets(), st.sampled_from([Strategy.MIXED, Strategy.HETEROGENEOUS]))
@settings(deadline=None, max_examples=60)
def test_task_weights_make_every_task_of_a_step_count_equally(examples, strategy):
    for step in plan_epoch(examples, plan_settings(strategy), 0):
        weights = step_weights(examples.task, step)[examples.task[step]]
        sums = np.bincount(examples.task[step], weights)
        present = np.bincount(examples.task[step]) > 0
        assert np.allclose(sums[present], len(step) / present.sum(), rtol=1e-5)


def many_examples(n: int = 4000) -> Examples:
    """Three tasks, 20 shards a task; within a task the examples of a shard are alike in length."""
    rng = np.random.default_rng(0)
    task = np.sort(rng.choice(3, n, p=[0.7, 0.25, 0.05])).astype(np.int32)
    place = np.arange(n) - np.searchsorted(task, task)
    shard = task * 20 + place * 20 // np.bincount(task)[task]
    length = np.clip(rng.integers(5, 100, 60)[shard] + rng.integers(0, 28, n), 5, 128)
    return Examples(task, np.ones(n, np.int64), length, np.zeros(n, np.int64), np.zeros(n, bool), shard)


@pytest.mark.parametrize("locality", [None, 5])
def test_steps_are_natural_samples_of_the_tasks(locality):
    examples = many_examples()
    planned = _mixed(500, locality=locality)
    shares = [np.bincount(examples.task[s], minlength=3) / len(s) for s in plan_epoch(examples, planned, 0)]
    assert np.allclose(shares, np.bincount(examples.task) / len(examples), atol=0.06)


def test_a_local_step_is_about_as_varied_in_length_as_any_other():
    examples = many_examples()
    spread = [
        [examples.encoder_tokens[step].std() for step in plan_epoch(examples, _mixed(500, locality=locality), 0)]
        for locality in (5, None)
    ]
    assert 0.7 < np.mean(spread[0]) / np.mean(spread[1]) < 1.1


def test_locality_without_shards_is_refused():
    with pytest.raises(PlanError, match=r"data\.locality needs a store's shards"):
        plan_epoch(replace(many_examples(), shard=None), _mixed(50, locality=1), 0)


def test_temperature_one_is_natural_and_a_high_one_makes_tasks_equal():
    examples = many_examples()
    assert task_counts(examples, _mixed(50)).tolist() == np.bincount(examples.task).tolist()
    root = np.sqrt(np.bincount(examples.task))
    assert np.allclose(task_counts(examples, _mixed(50, temperature=2)), 4000 * root / root.sum(), atol=1)
    assert np.allclose(task_counts(examples, _mixed(50, temperature=1e6)), 4000 / 3, atol=2)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("locality", [None, 2])
def test_epochs_and_seeds_differ_and_the_same_ones_repeat(strategy, locality):
    examples = many_examples(300)

    def plan(epoch: int, seed: int = 1) -> list[list[int]]:
        settings = plan_settings(strategy, 50, seed, locality=locality)
        return [step.tolist() for step in plan_epoch(examples, settings, epoch)]

    assert plan(0) == plan(0)
    assert plan(0) != plan(1)
    assert plan(0) != plan(0, seed=2)


def test_capped_epochs_draw_different_examples_of_a_large_task():
    examples = many_examples(1000)
    planned = _mixed(50, max_examples_per_task=100)
    drawn = [set(np.concatenate(plan_epoch(examples, planned, epoch)).tolist()) for epoch in (0, 1)]
    assert drawn[0] != drawn[1]


def test_capped_steps_are_alike_from_the_first_to_the_last():
    """A cap must not bring the large tasks' examples first and leave the small tasks for the end."""
    examples = many_examples()
    steps = plan_epoch(examples, _mixed(100, max_examples_per_task=200), 0)
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
            for ids in microbatches(cut_step(examples, step, plan, 4))
        )

    assert real <= padded(Strategy.MIXED) < padded(Strategy.HETEROGENEOUS)


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_costs_are_about_equal_over_ranks_and_over_the_microbatches_of_a_round(ranks):
    examples = many_examples()
    for step in plan_epoch(examples, _mixed(1024), 0):
        dealt = cut_step(examples, step, _mixed(1024), ranks)
        costs = np.array([[padded_tokens(examples, ids) for ids in own] for own in dealt])
        assert costs.sum(axis=1).max() < 1.06 * costs.sum(axis=1).mean()
        assert costs.max(axis=0).sum() < 1.1 * costs.sum(axis=1).mean()


def test_a_step_is_not_cut_into_one_full_and_one_tiny_microbatch():
    length = np.full(36, 120)
    examples = Examples(np.zeros(36, np.int32), length * 0 + 1, length, length * 0, np.zeros(36, bool))
    sizes = sorted(len(ids) for ids in cut_step(examples, np.arange(36), _mixed(36), 1)[0])
    assert sizes == [18, 18]  # the budget holds 34


def test_examples_of_one_row_fill_what_one_of_many_rows_leaves():
    rows = np.tile([4, 1, 1], 8)
    length = np.full(24, 512)
    examples = Examples(np.zeros(24, np.int32), rows, length, length * 0, np.zeros(24, bool))
    costs = [padded_tokens(examples, own[0]) for own in cut_step(examples, np.arange(24), _mixed(24), 8)]
    assert costs == [6 * 512] * 8


@pytest.mark.parametrize("ranks", [1, 2, 7])
def test_steps_of_very_few_tokens_are_cut_too(ranks):
    length = np.arange(1, 20)
    examples = Examples(np.zeros(19, np.int32), length * 0 + 1, length, length * 0, np.zeros(19, bool))
    dealt = cut_step(examples, np.arange(19), _mixed(19), ranks)
    assert sorted(np.concatenate(microbatches(dealt)).tolist()) == list(range(19))


def test_a_microbatch_is_not_made_needlessly_small():
    examples = many_examples()
    step = plan_epoch(examples, _mixed(1024), 0)[0]
    dealt = cut_step(examples, step, _mixed(1024), 2)
    tokens = (examples.rows * examples.encoder_tokens)[step].sum()
    assert len(dealt[0]) <= 2 * np.ceil(tokens / 2 / BUDGET)


def test_a_budget_below_the_longest_example_names_the_task_and_the_smallest_that_fits():
    one = np.ones(2, np.int64)
    examples = Examples(np.array([0, 1], np.int32), one * 5, one * [10, 40], one * 0, np.zeros(2, bool))
    check_budget(examples, 200, ["cola", "race"])
    with pytest.raises(PlanError, match=r"token_budget=199.*'race'.*needs 200 tokens.*to 200 or more"):
        check_budget(examples, 199, ["cola", "race"])


def test_a_task_that_cannot_feed_all_ranks_is_named_before_training():
    task = np.repeat(np.arange(2, dtype=np.int32), [3, 97])
    one = np.ones(100, np.int64)
    examples = Examples(task, one, one * 9, one * 0, np.zeros(100, bool))
    check_ranks(examples, plan_epoch(examples, _mixed(50), 0), 4, ["cb", "mnli"])
    steps = plan_epoch(examples, plan_settings(Strategy.BATCH_HOMOGENEOUS, 50), 0)
    with pytest.raises(PlanError, match=r"step of 3 examples \(of task 'cb'\), too few for 4 ranks.*strategy=mixed"):
        check_ranks(examples, steps, 4, ["cb", "mnli"])


def _mixed(step_examples: int, **options) -> PlanSettings:
    return plan_settings(Strategy.MIXED, step_examples, **options)
