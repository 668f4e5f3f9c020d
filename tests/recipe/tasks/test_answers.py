"""Answers are compared as the datasets' official evaluation scripts compare them."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.text import SQuAD

from recipe.tasks.answers import exact_match, normalize_answer, normalize_drop_answer, token_f1
from recipe.tasks.task import AnswerRules


@pytest.mark.parametrize(
    ("text", "normal"),
    [("The Denver Broncos!", "denver broncos"), ("  a\tcat,  an owl ", "cat owl"), ("theatre", "theatre")],
)
def test_answers_are_normalised_as_squad_does(text: str, normal: str) -> None:
    assert normalize_answer(text) == normal


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1"),
    [
        ("the Denver Broncos.", ["Denver Broncos"], 1, 1),
        ("Broncos", ["Denver Broncos", "The Broncos of Denver"], 0, 2 / 3),  # precision 1, recall 1/2
        ("gold and gold", ["gold"], 0, 0.5),  # one common word: precision 1/3, recall 1
        ("Paris", ["London"], 0, 0),
        ("", [], 1, 1),  # no answer, rightly
        ("something", [], 0, 0),
        ("the", ["a"], 1, 1),  # nothing is left of either
    ],
)
def test_span_scores_match_hand_worked_squad_examples(
    prediction: str, answers: list[str], exact: float, f1: float
) -> None:
    assert exact_match(prediction, answers) == exact
    assert token_f1(prediction, answers) == pytest.approx(f1)


# What the tests of DROP's script (allenai/allennlp-reading-comprehension, drop_eval_test.py) expect of single spans.
@pytest.mark.parametrize(
    ("prediction", "answer", "exact", "f1"),
    [
        ("78", "78.0", 1, 1),
        ("  1.2e1  ", "12.000", 1, 1),
        ("td", "the td", 1, 1),
        ("the a NOT an ARTICLE the an a", "NOT ARTICLE", 1, 1),
        ("John Elton", "Elton John", 0, 1),
        ("50 yard", "yard 50", 0, 1),
        ("Per.i.o.d....", ".P....e.r,,i;;;o...d,,", 1, 1),
        ("Spa     c  e   s     ", "    Spa c     e s", 1, 1),
        ("78-yard", "78 yard", 1, 1),
        ("78", "78-yard", 0, 0.67),
        ("78-yard", "78", 0, 0.67),
        ("This was a triumph", "tHIS Was A TRIUMPH", 1, 1),
        ("", "army", 0, 0),
        ("packers", "Green bay packers", 0, 0.5),
        ("packers", "Green bay", 0, 0),
        ("yard", "36 yard td", 0, 0),  # without the right number nothing counts
        ("23 yards", "43 yards", 0, 0),
        ("56 yards", "56 yd", 0, 0.5),
        ("26", "26 yard td", 0, 0.5),
    ],
)
def test_drops_scores_are_those_its_own_tests_expect(prediction: str, answer: str, exact: float, f1: float) -> None:
    assert exact_match(prediction, [answer], AnswerRules.DROP) == exact
    assert token_f1(prediction, [answer], AnswerRules.DROP) == f1


def test_drop_takes_the_best_of_several_annotators_and_writes_numbers_alike() -> None:
    assert token_f1("17 August", ["August", "17", "17 August 1990"], AnswerRules.DROP) == 0.8
    assert [normalize_drop_answer(text) for text in ("12.0 persons", "S.K. Singh")] == ["12.0 persons", "sk singh"]


@pytest.mark.parametrize(
    ("prediction", "alias", "exact"),
    [
        ("The_Beatles", "the beatles", 1),
        ("rock \u2018n\u2019 roll", "rock 'n' roll", 1),  # quotes part words, whatever their shape
        ("O'Neil", "o neil", 1),
        ("ONeil", "o'neil", 0),  # by SQuAD's rules these are the same
    ],
)
def test_trivia_qa_parts_words_at_punctuation(prediction: str, alias: str, exact: float) -> None:
    assert exact_match(prediction, ["another alias", alias], AnswerRules.TRIVIA_QA) == exact
    assert exact_match("ONeil", ["o'neil"]) == 1


@pytest.mark.parametrize(
    ("prediction", "answer", "f1"),
    [("yes", "yes", 1), ("no", "yes", 0), ("yes they did", "yes", 0), ("no", "no man", 0), ("a man", "no man", 2 / 3)],
)
def test_hotpot_qas_yes_and_no_share_no_word_with_another_answer(prediction: str, answer: str, f1: float) -> None:
    assert token_f1(prediction, [answer], AnswerRules.HOTPOT_QA) == pytest.approx(f1)


# Against independent computations: texts of the pieces that the scripts treat in ways of their own.
_WORDS = ("a", "an", "the", "The", "cat", "Cat", "yes", "no", "noanswer", "ONeil", "12", "\u00e9")
_MARKS = ("'", "`", ".", '"', "_", "-", "\u2013", "\u2018", "\u2019", "\u00b4", " ", "\t")
TEXTS = st.one_of(
    st.lists(st.sampled_from(_WORDS + _MARKS), max_size=6).map("".join),
    st.lists(st.sampled_from(("yes", "no", "cat", "the")), min_size=1, max_size=3).map(" ".join),
)
ANSWERS = st.lists(TEXTS, min_size=1, max_size=3)
_ARTICLES = ("a", "an", "the")


def words(text: str, removed: str = "", parting: str = "") -> list[str]:
    """The words of a text in lower case but articles, characters of the two kinds dropped, or replaced by a space."""
    kept = "".join(" " if char in parting else char for char in text.lower() if char not in removed)
    parts: list[str] = re.findall(r"\w+|\W", kept)
    return "".join(" " if part in _ARTICLES else part for part in parts).split()


def overlap(predicted: Sequence[str], right: Sequence[str]) -> float:
    """F1 of two bags of words, from precision and recall."""
    left, shared = list(right), 0
    for word in predicted:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(right)
    return 2 * precision * recall / (precision + recall)


@given(TEXTS, ANSWERS)
def test_squads_and_records_scores_are_those_of_torchmetrics(prediction: str, answers: list[str]) -> None:
    """ReCoRD's script is SQuAD's, its answers several names of one entity."""
    official = SQuAD()
    target = {"answers": {"text": answers, "answer_start": [0] * len(answers)}, "id": "1"}
    official.update({"prediction_text": prediction, "id": "1"}, target)
    found = {"exact_match": exact_match(prediction, answers), "f1": token_f1(prediction, answers)}
    assert {name: 100 * score for name, score in found.items()} == pytest.approx(
        {name: float(score) for name, score in official.compute().items()}, rel=1e-5
    )


@given(TEXTS, ANSWERS)
def test_trivia_qas_scores_are_those_of_its_scripts_rules(prediction: str, answers: list[str]) -> None:
    """triviaqa_evaluation.py: punctuation, with three quotes of its own, becomes spaces; yes is like any word."""
    parting = string.punctuation + "\u2018\u2019\u00b4"
    predicted, right = words(prediction, parting=parting), [words(answer, parting=parting) for answer in answers]
    assert exact_match(prediction, answers, AnswerRules.TRIVIA_QA) == (predicted in right)
    expected = max(overlap(predicted, one) for one in right)
    assert token_f1(prediction, answers, AnswerRules.TRIVIA_QA) == pytest.approx(expected)


@given(TEXTS, TEXTS)
def test_hotpot_qas_scores_are_those_of_its_scripts_rules(prediction: str, answer: str) -> None:
    """hotpot_evaluate_v1.py: SQuAD's words; yes, no and noanswer are right as a whole or not at all."""
    predicted, right = words(prediction, removed=string.punctuation), words(answer, removed=string.punctuation)
    assert exact_match(prediction, [answer], AnswerRules.HOTPOT_QA) == (predicted == right)
    whole = any(side in (["yes"], ["no"], ["noanswer"]) for side in (predicted, right))
    expected = 0.0 if whole and predicted != right else overlap(predicted, right)
    assert token_f1(prediction, [answer], AnswerRules.HOTPOT_QA) == pytest.approx(expected)
