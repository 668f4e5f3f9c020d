"""Multiple choice in small: the right choice holds a plausible word, the wrong ones an implausible one each."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from datasets import ClassLabel, Value
from datasets import List as ListOf

from data_prep.miniature import words
from data_prep.miniature.sentences import Draw, Miniature, columns, draw_fact, fillers, lower

_LETTERS = "ABCDE"


def _endings(rng: Random, count: int) -> tuple[list[str], int]:
    """Different ends of a sentence, and which one is right."""
    right = rng.randrange(count)
    verbs, objects = rng.sample(list(words.VERBS.values()), count), rng.sample(words.OBJECTS, count)
    wrong = iter(rng.sample(words.IMPLAUSIBLE, count))
    adverbs = [rng.choice(words.PLAUSIBLE) if i == right else next(wrong) for i in range(count)]
    return [f"{verb} the {thing} {how}" for verb, thing, how in zip(verbs, objects, adverbs, strict=True)], right


def _lettered(
    question: str,
    train: int,
    evaluation: int,
    text: str = "id",
    lists: tuple[str, str] = ("text", "label"),
    choices: int = 4,
    varies: bool = False,
) -> Miniature:
    """ARC, OpenBookQA, CommonsenseQA; where it ``varies``, some have 3 or 5 choices and some numeric keys."""

    def row(draw: Draw) -> dict[str, Any]:
        count = draw.rng.choice((3, 4, 4, 4, 4, 5)) if varies else choices
        letters = [str(i + 1) for i in range(count)] if varies and draw.chance(0.08) else list(_LETTERS[:count])
        fact, (endings, right) = draw_fact(draw.rng), _endings(draw.rng, count)
        identity = {name: fact.object if name == "question_concept" else str(draw.number) for name in text.split()}
        return {
            **identity,
            question: f"{fact.statement()} What would the {fact.subject} have done next?",
            "choices": {"text": endings, "label": letters},
            "answerKey": letters[right],
        }

    features = columns(f"{text} {question} answerKey", choices={name: ListOf(Value("string")) for name in lists})
    return Miniature(features, row, train, evaluation)


def _copa(draw: Draw) -> dict[str, Any]:
    fact, (endings, right) = draw_fact(draw.rng), _endings(draw.rng, 2)
    return {
        "premise": fact.statement(),
        "choice1": f"The {fact.subject} {endings[0]}.",
        "choice2": f"The {fact.subject} {endings[1]}.",
        "question": draw.rng.choice(("cause", "effect")),
        "idx": draw.number,
        "label": right,
    }


def _math_qa(draw: Draw) -> dict[str, Any]:
    """Options in one string, with commas inside numbers."""
    fact, right = draw_fact(draw.rng), draw.rng.randrange(5)
    wrong = iter(draw.rng.sample(words.ODD_NUMBERS, 4))
    options = [draw.rng.choice(words.ROUND_NUMBERS) if i == right else next(wrong) for i in range(5)]
    return {
        "Problem": f"{lower(fact.statement())} how many times {fact.question()} in all ?",
        "Rationale": f'"count them . answer {_LETTERS[right].lower()} ."',
        "options": " , ".join(f"{letter.lower()} ) {option}" for letter, option in zip(_LETTERS, options, strict=True)),
        "correct": _LETTERS[right].lower(),
        "annotated_formula": "add(n0, n1)",
        "linear_formula": "add(n0,n1)|",
        "category": "general",
    }


def _swag(draw: Draw) -> dict[str, Any]:
    fact, (endings, right) = draw_fact(draw.rng), _endings(draw.rng, 4)
    sentence, start = fact.statement(), f"The {fact.subject}"
    return {
        "video-id": f"v{draw.number}",
        "fold-ind": str(draw.number),
        "startphrase": f"{sentence} {start}",
        "sent1": sentence,
        "sent2": start,
        "gold-source": "gold",
        **{f"ending{i}": f"{ending}." for i, ending in enumerate(endings)},
        "label": right,
    }


def _hellaswag(draw: Draw) -> dict[str, Any]:
    """The label is a string; some contexts have WikiHow's tags."""
    fact, (endings, right) = draw_fact(draw.rng), _endings(draw.rng, 4)
    first, second = fact.statement(), f"the {fact.subject}"
    if draw.chance(0.2):
        first = f"[header] How to {fact.verb} a {fact.object} [title] Begin. [step] {first}"
    return {
        "ind": draw.number,
        "activity_label": fact.object.title(),
        "ctx_a": first,
        "ctx_b": second,
        "ctx": f"{first} {second}",
        "endings": [f"{ending}." for ending in endings],
        "source_id": f"activitynet~v_{draw.number}",
        "split": "val" if draw.evaluation else "train",
        "split_type": "indomain",
        "label": str(right),
    }


def _race(draw: Draw) -> dict[str, Any]:
    """Some questions are cloze questions with a blank."""
    fact, (endings, right) = draw_fact(draw.rng), _endings(draw.rng, 4)
    ask = f"The {fact.subject} _ ." if draw.chance(0.3) else f"What is true of the {fact.subject}?"
    article = " ".join([*fillers(draw.rng, 1, 3), fact.statement()])
    return {
        "example_id": f"high{draw.number}.txt",
        "article": article,
        "answer": _LETTERS[right],
        "question": ask,
        "options": endings,
    }


def _cosmos_qa(draw: Draw) -> dict[str, Any]:
    fact, (endings, right) = draw_fact(draw.rng), _endings(draw.rng, 4)
    if draw.chance(0.3):
        endings[(right + 1) % 4] = "None of the above choices"
    return {
        "id": f"c##{draw.number}",
        "context": " ".join(map(lower, [*fillers(draw.rng, 1, 2), fact.statement()])),
        "question": f"What may the {fact.subject} have done ?",
        **{f"answer{i}": f"{ending} ." for i, ending in enumerate(endings)},
        "label": right,
    }


def _sciq(draw: Draw) -> dict[str, Any]:
    """The right answer and its distractors without an order; some rows have no support."""
    fact, (endings, right) = draw_fact(draw.rng), _endings(draw.rng, 4)
    correct = endings.pop(right)
    return {
        "question": f"{fact.statement()} What did the {fact.subject} do then?",
        **{f"distractor{i}": ending for i, ending in enumerate(endings, start=1)},
        "correct_answer": correct,
        "support": "" if draw.chance(0.1) else " ".join(fillers(draw.rng, 1, 3)),
    }


def _miniature(
    draw: Callable[[Draw], dict[str, Any]], train: int, evaluation: int, text: str, integer: str = "", **others: Any
) -> Miniature:
    return Miniature(columns(text, integer, **others), draw, train, evaluation)


TABLE: dict[str, Miniature] = {
    "copa": _miniature(
        _copa, 60, 40, "premise choice1 choice2 question", "idx", label=ClassLabel(names=["choice1", "choice2"])
    ),
    "math_qa": _miniature(
        _math_qa, 200, 60, "Problem Rationale options correct annotated_formula linear_formula category"
    ),
    "openbookqa": _lettered("question_stem", 150, 60),
    "swag": _miniature(
        _swag,
        400,
        80,
        "video-id fold-ind startphrase sent1 sent2 gold-source ending0 ending1 ending2 ending3",
        label=ClassLabel(names=["0", "1", "2", "3"]),
    ),
    "hellaswag": _miniature(
        _hellaswag, 250, 80, "activity_label ctx_a ctx_b ctx source_id split split_type label", "ind", texts="endings"
    ),
    "race": _miniature(_race, 250, 60, "example_id article answer question", texts="options"),
    "commonsense_qa": _lettered("question", 250, 80, "id question_concept", ("label", "text"), choices=5),
    "cosmos_qa": _miniature(_cosmos_qa, 200, 60, "id context question answer0 answer1 answer2 answer3", "label"),
    "arc_easy": _lettered("question", 120, 60, varies=True),
    "arc_challenge": _lettered("question", 80, 60, varies=True),
    "sciq": _miniature(_sciq, 200, 60, "question distractor3 distractor1 distractor2 correct_answer support"),
}
