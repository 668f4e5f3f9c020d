"""The bootstrap's fast paths score draws as the task's own metrics do, and its p-value is what the papers define."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torchmetrics import Metric

from recipe.protocol.bootstrap import draw_examples, paired_bootstrap, resampled_scores, scorer
from recipe.protocol.comparison import ComparisonError
from recipe.protocol.result import Predictions
from recipe.tasks import get_task
from recipe.tasks.metrics import OverlapF1, build_metrics
from recipe.tasks.trees import Tree, labels_to_tree
from tests.fake_runs import fake_run

DRAWS = 5


@pytest.mark.parametrize("key", ["rte", "cola", "mnli", "copa", "squad", "xsum"])
def test_every_draw_is_scored_as_the_metric_itself_scores_it(key: str) -> None:
    """MNLI's examples come in groups, of which its other metrics leave one out."""
    task = get_task(key)
    runs = [fake_run(task, start, 1, quality, examples=40) for start, quality in (("a", 0.6), ("b", 0.8))]
    expected = []
    for index in [np.arange(40), *draw_examples(40, DRAWS)]:
        row = []
        for run in runs:
            metric = build_metrics(task)[task.primary_metric]
            metric.update(
                [run.predictions.predictions[i] for i in index], [run.predictions.references[i] for i in index]
            )
            row.append(float(metric.compute()))
        expected.append(row)
    np.testing.assert_allclose(resampled_scores(task, runs, DRAWS), expected, rtol=1e-12)


def test_a_group_that_a_metric_leaves_out_counts_for_nothing_in_a_draw() -> None:
    predictions = fake_run(get_task("mnli"), "a", 1, 0.7, examples=40).predictions
    metric = build_metrics(get_task("mnli"))["accuracy_matched"]
    (index,) = draw_examples(40, 1)
    metric.update([predictions.predictions[i] for i in index], [predictions.references[i] for i in index])
    assert scorer(metric, predictions)(index) == pytest.approx(float(metric.compute()))


def sentences(key: str, count: int) -> Predictions:
    """Tags, about half of them right, of as many sentences of one to five words: the trees differ in size and shape."""
    rng = np.random.default_rng(5)
    names = ["+1|S|", "+2|NP|", "-1|S|", "||VP", "||"] if key == "ptb_parsing" else ["B-NP", "I-NP", "B-VP", "O"]
    predictions, references = [], []
    for _ in range(count):
        right, guessed = rng.choice(names, (2, rng.integers(1, 6)))
        tags = np.where(rng.random(len(right)) < 0.5, right, guessed).tolist()
        words = [Tree("NN", word="w") for _ in tags]
        predictions.append(tags)
        references.append(str(labels_to_tree(right.tolist(), words)) if key == "ptb_parsing" else right.tolist())
    return Predictions(predictions, references)


@pytest.mark.parametrize("key", ["ptb_parsing", "conll2000_chunking", "ptb_pos"])
def test_an_f1_over_all_examples_adds_the_counts_of_the_drawn_ones_that_are_made_once(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictions = sentences(key, 40)
    (metric,) = build_metrics(get_task(key)).values()
    assert isinstance(metric, OverlapF1)
    expected = []
    for index in [np.arange(40), *draw_examples(40, DRAWS)]:
        metric.reset()
        metric.update([predictions.predictions[i] for i in index], [predictions.references[i] for i in index])
        expected.append(float(metric.compute()))
    counted = Mock(wraps=metric.overlap)
    monkeypatch.setattr(metric, "overlap", counted)
    score = scorer(metric, predictions)
    assert [score(index) for index in [np.arange(40), *draw_examples(40, DRAWS)]] == expected
    assert counted.call_count == 40 and 0.2 < min(expected) < max(expected) < 0.9


class Correlation(Metric):
    """Pearson's, a metric that is neither a mean over examples nor a function of a confusion matrix."""

    pairs: list[torch.Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("pairs", [])

    def update(self, predictions: Sequence[float], references: Sequence[float]) -> None:
        self.pairs.append(torch.tensor([list(predictions), list(references)], dtype=torch.float64))

    def compute(self) -> torch.Tensor:
        return torch.corrcoef(torch.cat(self.pairs, dim=1))[0, 1]


def test_any_other_metric_sees_each_draw_alone() -> None:
    rng = np.random.default_rng(0)
    references = rng.normal(size=30)
    predictions = references + rng.normal(size=30)
    score = scorer(Correlation(), Predictions(predictions.tolist(), references.tolist()))
    for index in draw_examples(30, DRAWS):
        assert score(index) == pytest.approx(np.corrcoef(predictions[index], references[index])[0, 1])


def test_draws_are_the_same_in_every_call_and_differ_among_themselves() -> None:
    first, again = (list(draw_examples(50, 3)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len({tuple(index) for index in first}) == 3
    assert all(len(index) == 50 and index.min() >= 0 and index.max() < 50 for index in first)


def test_p_is_the_share_of_draws_twice_the_observed_difference_away_or_beyond_zero() -> None:
    """Berg-Kirkpatrick et al. count draws above twice the observed difference; two-sided, those below zero, too."""
    rng = np.random.default_rng(1)
    differences = np.concatenate([[0.02], rng.normal(0.02, 0.015, size=999)])
    beyond = sum(1 for drawn in differences[1:] if drawn >= 0.04 or drawn <= 0.0)
    p, (low, high) = paired_bootstrap(differences)
    assert p == (1 + beyond) / 1000
    ordered = sorted(differences[1:])
    assert ordered[24] <= low <= ordered[25] and ordered[973] <= high <= ordered[974]


def test_equal_systems_have_p_one_and_a_sure_difference_the_smallest_p() -> None:
    assert paired_bootstrap(np.zeros(1000))[0] == 1.0
    assert paired_bootstrap(np.full(1000, 0.1))[0] == 1 / 1000


def test_a_draw_without_a_score_counts_against_the_difference() -> None:
    p, interval = paired_bootstrap(np.array([0.1, 0.1, np.nan, 0.1]))
    assert p == 2 / 4
    assert interval == pytest.approx((0.1, 0.1))


def test_predictions_that_do_not_give_the_reported_score_are_refused() -> None:
    run = fake_run(get_task("rte"), "a", 3, 0.7, examples=20)
    wrong = replace(run, result=replace(run.result, scores={"accuracy": run.result.score + 0.05}))
    with pytest.raises(ComparisonError, match=r"rte from a, seed 3: accuracy is reported as .* run it again"):
        resampled_scores(get_task("rte"), [wrong], DRAWS)


def test_runs_on_other_examples_or_metrics_are_refused() -> None:
    task = get_task("mrpc")
    run = fake_run(task, "a", 1, 0.7, examples=20)
    with pytest.raises(ComparisonError, match="b, seed 2, was scored on other validation examples than a, seed 1"):
        resampled_scores(task, [run, fake_run(task, "b", 2, 0.7, examples=19)], DRAWS)
    by_f1 = replace(run, start="b", result=replace(run.result, primary="f1"))
    with pytest.raises(ComparisonError, match="b was scored by f1, a by accuracy"):
        resampled_scores(task, [run, by_f1], DRAWS)
    by_speed = replace(run, result=replace(run.result, primary="speed"))
    with pytest.raises(ComparisonError, match=r"speed, which is none of the task's metrics \(accuracy, f1\)"):
        resampled_scores(task, [by_speed], DRAWS)
