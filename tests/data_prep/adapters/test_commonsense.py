"""Multiple choice rows: questions and choices of every shape become a context, choices and a label."""

from __future__ import annotations

import pytest

from data_prep.adapters import get_adapter
from data_prep.examples import ChoiceExample, InvalidData, Unusable


def test_arc_keys_may_be_digits_and_choices_three_or_five() -> None:
    row = {"question": "Q?", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "3"}
    assert get_adapter("arc_easy").convert(row) == ChoiceExample("Q?", ("a", "b", "c"), 2)


def test_math_qa_options_keep_their_commas() -> None:
    row = {
        "Problem": "How many?",
        "options": "a ) 1 , 000 , b ) rs . 2 , c ) 3 / 4 , d ) 5 % , e ) none",
        "correct": "a",
    }
    example = get_adapter("math_qa").convert(row)
    assert example == ChoiceExample("How many?", ("1 , 000", "rs . 2", "3 / 4", "5 %", "none"), 0)
    with pytest.raises(Unusable, match="number of choices"):
        get_adapter("math_qa").convert(row | {"options": "a ) 1 , b ) 2"})


def test_copa_asks_for_the_cause_or_the_effect() -> None:
    row = {"premise": "It rained.", "choice1": "x", "choice2": "y", "question": "cause", "label": 1}
    assert get_adapter("copa").convert(row) == ChoiceExample("It rained. What was the cause of this?", ("x", "y"), 1)
    with pytest.raises(InvalidData, match="'why'"):
        get_adapter("copa").convert(row | {"question": "why"})


def test_race_choices_fill_the_blank_of_a_cloze_question() -> None:
    row = {"article": "A.", "question": "He is _ .", "options": ["x", "y", "z", "w"], "answer": "B"}
    example = get_adapter("race").convert(row)
    assert example == ChoiceExample("A.", ("He is x .", "He is y .", "He is z .", "He is w ."), 1)


def test_sciq_choices_have_an_order_that_stays_and_differs_between_questions() -> None:
    row = {"correct_answer": "r", "distractor1": "x", "distractor2": "y", "distractor3": "z", "support": ""}
    examples = [get_adapter("sciq").convert(row | {"question": f"Question {i}?"}) for i in range(40)]
    assert examples == [get_adapter("sciq").convert(row | {"question": f"Question {i}?"}) for i in range(40)]
    assert all(isinstance(e, ChoiceExample) and e.choices.index("r") == e.label for e in examples)
    assert {e.label for e in examples if isinstance(e, ChoiceExample)} == {0, 1, 2, 3}


def test_hellaswag_titles_end_a_sentence_and_other_tags_go() -> None:
    row = {"ctx": "[header] How to nap [title] Lie down. [step] Find", "endings": ["a bed. [substeps] Rest", *"bcd"]}
    example = get_adapter("hellaswag").convert(row | {"label": "0"})
    assert example == ChoiceExample("How to nap. Lie down. Find", ("a bed. Rest", "b", "c", "d"), 0)
