"""Scores agree with independent computations, whatever the batches and the ranks."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from torchmetrics.functional.classification import multiclass_f1_score, multiclass_matthews_corrcoef

from recipe.tasks.catalogue import CATALOGUE, Family, Task, get_task
from recipe.tasks.metrics import build_metrics
from recipe.tasks.origin import licensed
from tests.processes import run_ranks


def scores(key: str, predictions: list, references: list) -> dict[str, float]:
    metrics = build_metrics(get_task(key))
    for metric in metrics.values():
        metric.update(predictions, references)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


@pytest.mark.parametrize("key", CATALOGUE)
def test_every_task_has_its_metrics_primary_first(key: str) -> None:
    task = get_task(key)
    assert tuple(build_metrics(task)) == task.metrics


def test_binary_f1_is_that_of_class_one() -> None:
    # tp 2, fp 1, fn 1: precision = recall = 2/3
    assert scores("mrpc", [1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == pytest.approx({"accuracy": 3 / 5, "f1": 2 / 3})


def test_binary_f1_without_any_positive_is_zero() -> None:
    assert scores("mrpc", [0, 0], [0, 0]) == {"accuracy": 1.0, "f1": 0.0}


def test_macro_f1_averages_over_the_classes_that_occur() -> None:
    # class 0: 2*1/(1+2), class 1: 2*1/(2+1); class 2 neither occurs nor is predicted
    assert scores("cb", [0, 1, 1], [0, 1, 0])["macro_f1"] == pytest.approx(2 / 3)


def test_matthews_equals_the_phi_coefficient() -> None:
    tp, fp, fn, tn = 6, 2, 1, 3
    predictions = [1] * tp + [1] * fp + [0] * fn + [0] * tn
    references = [1] * tp + [0] * fp + [1] * fn + [0] * tn
    phi = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert scores("cola", predictions, references)["matthews"] == pytest.approx(phi)


@pytest.mark.parametrize(("right", "predicted"), [(721, 1), (721, 0), (1043, 1)])
def test_matthews_of_a_constant_prediction_is_zero(right: int, predicted: int) -> None:
    references = [1] * right + [0] * (1043 - right)
    assert scores("cola", [predicted] * 1043, references)["matthews"] == 0


def test_class_scores_agree_with_torchmetrics_on_random_classes() -> None:
    generator = random.Random(0)
    predictions, references = ([generator.randrange(3) for _ in range(200)] for _ in range(2))
    predicted, right = torch.tensor(predictions), torch.tensor(references)
    task = Task("t", Family.CLASSIFICATION, licensed("test"), ("macro_f1", "matthews"), labels=("a", "b", "c"))
    for name, metric in build_metrics(task).items():
        metric.update(predictions, references)
        reference = {
            "macro_f1": lambda: multiclass_f1_score(predicted, right, 3, average="macro"),
            "matthews": lambda: multiclass_matthews_corrcoef(predicted, right, 3),
        }[name]()
        assert float(metric.compute()) == pytest.approx(float(reference), abs=1e-6)


def test_commonsense_accuracy_takes_any_number_of_choices() -> None:
    assert scores("arc_easy", [0, 4, 2, 1], [0, 4, 3, 2]) == {"accuracy": 0.5}


def test_mrc_scores_are_means_over_examples() -> None:
    predictions, references = ["the cat", "Broncos"], [["cat"], ["Denver Broncos"]]
    assert scores("squad", predictions, references) == pytest.approx({"f1": (1 + 2 / 3) / 2, "exact_match": 0.5})


def test_each_dataset_of_questions_has_its_own_rules() -> None:
    answers = {"squad": "78 yards", "drop": "78-yards", "hotpot_qa": "yes", "trivia_qa": "o neil", "record": "Ann"}
    found = {
        "squad": "78.0 yards",
        "drop": "78.0 yards",
        "hotpot_qa": "yes sir",
        "trivia_qa": "O'Neil",
        "record": "ann",
    }
    each = {key: scores(key, [found[key]], [["", answer]]) for key, answer in answers.items()}
    assert {key: score["exact_match"] for key, score in each.items()} == {
        "squad": 0, "drop": 1, "hotpot_qa": 0, "trivia_qa": 1, "record": 1,
    }  # fmt: skip
    assert each["squad"]["f1"] == 0.5 and each["hotpot_qa"]["f1"] == 0


def test_multirc_has_f1_over_all_answers_and_the_questions_with_every_answer_right() -> None:
    references = [(1, "0-0"), (0, "0-0"), (1, "0-1"), (1, "0-1"), (0, "1-0")]
    # tp 2, fp 1, fn 1; questions 0-0 and 1-0 are all right but for the last one's
    assert scores("multirc", [1, 0, 1, 0, 1], references) == pytest.approx({"f1a": 2 / 3, "exact_match": 1 / 3})


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from("abcdef")), min_size=1, max_size=40))
def test_multircs_scores_are_those_of_an_independent_count(answers: list[tuple[int, int, str]]) -> None:
    """F1a: the right ones among those that were called right, and among those that are. Exact match: by question."""
    questions: dict[str, list[bool]] = defaultdict(list)
    for predicted, right, question in answers:
        questions[question].append(predicted == right)
    found = sum(1 for predicted, right, _ in answers if predicted and right)
    precision = found / max(1, sum(predicted for predicted, _, _ in answers))
    recall = found / max(1, sum(right for _, right, _ in answers))
    expected = {
        "f1a": 2 * precision * recall / (precision + recall) if found else 0.0,
        "exact_match": sum(map(all, questions.values())) / len(questions),
    }
    references = [(right, question) for _, right, question in answers]
    assert scores("multirc", [predicted for predicted, _, _ in answers], references) == pytest.approx(expected)


def test_groups_have_their_own_accuracy() -> None:
    references = [(0, "matched"), (1, "mismatched"), (2, "mismatched"), (2, "matched")]
    assert scores("mnli", [0, 1, 0, 0], references) == {
        "accuracy": 0.5, "accuracy_matched": 0.5, "accuracy_mismatched": 0.5,
    }  # fmt: skip
    assert scores("mnli", [0, 1], references[:1] * 2)["accuracy_matched"] == 0.5
    assert math.isnan(scores("mnli", [0], references[:1])["accuracy_mismatched"])


def test_tags_chunks_and_trees_are_scored_over_all_words_and_sentences() -> None:
    assert scores("ptb_pos", [["DT", "NN"], ["VB"]], [["DT", "JJ"], ["VB"]]) == pytest.approx({"accuracy": 2 / 3})
    tags, right = [["B-NP", "I-NP"], ["B-VP"]], [["B-NP", "I-NP"], ["B-PP"]]
    assert scores("conll2000_chunking", tags, right) == {"chunk_f1": 0.5}
    tree = "(S (NP (DT the) (NN cat)) (VP (VBD sat)))"
    # the right labels, and for the second sentence ones that make a flat tree: S alone of S, NP, VP
    labels = [["+2|NP|", "-1|S|", "||VP"], ["+1|S|", "+0|S|", "||"]]
    assert scores("ptb_parsing", labels, [tree, tree]) == pytest.approx({"bracket_f1": 2 * 4 / (4 + 6)})


def test_rouge_is_the_stemmed_f_measure_of_rouge_score() -> None:
    summaries = ["The cats were running over the hills.", "Prices rose"]
    references = ["A cat runs over a hill", "Prices of oil rose sharply."]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    each = [scorer.score(reference, summary) for reference, summary in zip(references, summaries, strict=True)]
    expected = {name: sum(score[name].fmeasure for score in each) / 2 for name in ("rougeL", "rouge1", "rouge2")}
    assert scores("xsum", summaries, references) == pytest.approx(expected)
    assert 0 < expected["rouge2"] < expected["rouge1"] < 1


def test_longer_summaries_are_compared_sentence_by_sentence() -> None:
    summary, reference = 'Prices rose. The "oil" fell!', "The oil fell.\nPrices rose sharply."
    scorer = RougeScorer(["rougeL", "rougeLsum"], use_stemmer=True)  # which parts sentences at line breaks
    expected = scorer.score(reference, 'Prices rose.\nThe "oil" fell!')
    found = scores("cnn_dailymail", [summary], [reference])
    assert found["rougeLsum"] == pytest.approx(expected["rougeLsum"].fmeasure)
    assert found["rougeL"] == pytest.approx(expected["rougeL"].fmeasure)
    assert found["rougeL"] < found["rougeLsum"]


@pytest.mark.parametrize("key", ["cola", "cb", "copa", "squad", "xsum", "stsb", "multirc", "conll2000_chunking"])
def test_scores_do_not_depend_on_the_batches(key: str) -> None:
    predictions, references = {
        "cola": ([0, 1, 1, 0, 1], [0, 1, 0, 1, 1]),
        "cb": ([0, 1, 2, 0, 1], [0, 2, 2, 1, 1]),
        "copa": ([0, 1, 1, 0, 1], [0, 1, 0, 1, 1]),
        "squad": (["a b", "c", "d", "e", "f g"], [["b"], ["c"], ["x", "d"], ["y"], ["g"]]),
        "xsum": (["a b", "c", "d e", "e", "f g"], ["b", "c", "d", "y", "f g h"]),
        "stsb": ([0.5, 2, 4, 3, 3], [1.0, 2, 4, 5, 3]),
        "multirc": ([0, 1, 1, 0, 1], [(0, "a"), (1, "b"), (0, "b"), (0, "a"), (1, "a")]),
        "conll2000_chunking": (
            [["O"], ["B-NP"], ["O"], ["B-VP"], ["I-NP"]],
            [["O"], ["B-NP"], ["B-NP"]] + [["B-NP"]] * 2,
        ),
    }[key]
    metrics = build_metrics(get_task(key))
    for start, stop in ((0, 1), (1, 4), (4, 4), (4, 5)):
        for metric in metrics.values():
            metric.update(predictions[start:stop], references[start:stop])
    assert {name: float(m.compute()) for name, m in metrics.items()} == scores(key, predictions, references)


_TWO_RANKS = """
import torch.distributed as dist
from recipe.distributed import initialize_ranks
from recipe.tasks.catalogue import get_task
from recipe.tasks.metrics import build_metrics
initialize_ranks()
rank = dist.get_rank()
for key, predictions, references in (
    ("cola", [0, 1, 1, 0, 1], [0, 1, 0, 1, 1]),
    ("race", [0, 3, 1, 2, 1], [0, 3, 0, 1, 1]),
    ("squad", ["a b", "c", "d", "e", "f g"], [["b"], ["c"], ["x", "d"], ["y"], ["g"]]),
    ("multirc", [0, 1, 1, 0, 1], [(0, "a"), (1, "b"), (0, "b"), (0, "a"), (1, "a")]),
    ("stsb", [0.5, 2, 4, 3, 3], [1.0, 2, 4, 5, 3]),
):
    metrics = build_metrics(get_task(key))
    stop = 0 if key == "stsb" else 1  # ranks hold different numbers of examples, or none at all
    mine = slice(0, stop) if rank == 0 else slice(stop, 5)
    for name, metric in metrics.items():
        metric.update(predictions[mine], references[mine])
        print(key, name, float(metric.compute()))
"""


@pytest.mark.slow
def test_two_ranks_score_what_one_does(tmp_path: Path) -> None:
    script = tmp_path / "score.py"
    script.write_text(_TWO_RANKS)
    outputs = run_ranks(str(script), ranks=2)
    expected = {
        "cola": scores("cola", [0, 1, 1, 0, 1], [0, 1, 0, 1, 1]),
        "race": scores("race", [0, 3, 1, 2, 1], [0, 3, 0, 1, 1]),
        "squad": scores("squad", ["a b", "c", "d", "e", "f g"], [["b"], ["c"], ["x", "d"], ["y"], ["g"]]),
        "multirc": scores("multirc", [0, 1, 1, 0, 1], [(0, "a"), (1, "b"), (0, "b"), (0, "a"), (1, "a")]),
        "stsb": scores("stsb", [0.5, 2, 4, 3, 3], [1.0, 2, 4, 5, 3]),
    }
    lines = [f"{key} {name} {score}" for key, by_name in expected.items() for name, score in by_name.items()]
    assert [output.splitlines() for output in outputs] == [lines, lines]


def test_a_class_outside_the_label_space_is_named() -> None:
    with pytest.raises(ValueError, match="class 2 is not one of the task's 2 classes"):
        scores("cola", [0, 2], [0, 1])


def test_predictions_and_references_must_pair_up() -> None:
    with pytest.raises(ValueError, match="2 predictions but 1 references"):
        scores("squad", ["a", "b"], [["a"]])


@pytest.mark.parametrize(
    ("family", "known"),
    [(Family.CLASSIFICATION, "accuracy"), (Family.MRC, "exact_match"), (Family.TAGGING, "chunk_f1")],
)
def test_an_unknown_metric_is_named_with_those_that_there_are(family: Family, known: str) -> None:
    with pytest.raises(ValueError, match=f"'own'.*no metric 'bleu' .*{known}"):
        build_metrics(Task("own", family, licensed("test"), ("bleu",), labels=("a", "b")))


def test_f1_of_one_class_refuses_more_than_two_labels() -> None:
    with pytest.raises(ValueError, match="macro_f1"):
        build_metrics(Task("three", Family.CLASSIFICATION, licensed("test"), ("f1",), labels=("a", "b", "c")))
