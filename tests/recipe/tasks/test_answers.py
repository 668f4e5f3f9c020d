"""Answers are compared as the datasets' official evaluation scripts compare them."""

from __future__ import annotations

import pytest

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
