"""Baselines are what they are called, and scored like the model."""

from __future__ import annotations

import pytest

from recipe.tasks.baselines import SPAN_WORDS, baseline, commonest_tags, leads, random_spans
from recipe.tasks.catalogue import get_task


def test_by_accuracy_the_best_constant_class_is_the_majority() -> None:
    name, scores = baseline(get_task("mrpc"), [1, 1, 0, 1])
    assert name == "constant class"
    assert scores == pytest.approx({"accuracy": 3 / 4, "f1": 6 / 7})


def test_by_f1_the_best_constant_class_is_the_positive_one_however_rare() -> None:
    _, scores = baseline(get_task("wiki_qa"), [0, 0, 0, 1])
    assert scores == pytest.approx({"f1": 2 / 5, "accuracy": 1 / 4})


def test_commonsense_expects_one_over_the_number_of_choices() -> None:
    name, scores = baseline(get_task("arc_easy"), [0, 1, 2], inputs=[4, 4, 5])
    assert (name, scores) == ("random choice", pytest.approx({"accuracy": (1 / 4 + 1 / 4 + 1 / 5) / 3}))


def test_random_spans_are_short_pieces_of_their_context_and_repeat() -> None:
    contexts = [f"w{i} one two three four five w{i}" for i in range(20)] + ["two words", ""]
    spans = random_spans(contexts)
    assert spans == random_spans(contexts)
    assert all(span in context for span, context in zip(spans, contexts, strict=True))
    assert [len(span.split()) for span in spans] == [SPAN_WORDS] * 20 + [2, 0]
    assert len(set(spans)) > 5


def test_mrc_scores_its_random_spans() -> None:
    name, scores = baseline(get_task("squad"), [["red green blue"], ["nothing of it"]], ["red green blue", "x y z"])
    assert (name, scores) == ("random span", {"f1": 0.5, "exact_match": 0.5})


def test_leads_are_as_long_as_the_mean_reference() -> None:
    assert leads(["a b c d", "e"], ["1 2", "1 2 3 4"]) == ["a b c", "e"]


def test_summarization_scores_its_leads() -> None:
    name, scores = baseline(get_task("xsum"), ["oil prices rose"], ["Oil prices rose again today"])
    assert (name, scores) == ("lead", {"rougeL": 1, "rouge1": 1, "rouge2": 1})


def test_inputs_must_pair_up_with_references() -> None:
    with pytest.raises(ValueError, match="'squad': 1 baseline inputs but 2 references"):
        baseline(get_task("squad"), [["a"], ["b"]], ["one context"])


def test_a_split_without_examples_is_an_error() -> None:
    with pytest.raises(ValueError, match="'cola': no evaluation examples"):
        baseline(get_task("cola"), [])


def test_one_score_for_all_correlates_with_nothing() -> None:
    assert baseline(get_task("stsb"), [0.5, 4.0]) == ("constant score", {"pearson": 0, "spearman": 0})


def test_every_word_gets_the_commonest_tag_also_where_references_are_trees() -> None:
    assert baseline(get_task("ptb_pos"), [["NN", "NN"], ["DT"]]) == (
        "commonest tag",
        {"accuracy": pytest.approx(2 / 3)},
    )
    assert commonest_tags(["(S (NP (DT the) (JJ old) (NN cat)) (VP (VBD sat)))"] * 2) == [["+2|NP|"] * 4] * 2
