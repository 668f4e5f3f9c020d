"""Multiple choice: a context and its possible continuations or answers (sentence ranking, MUPPET section 3.2).

Only contexts are ever shortened, so a question about a long passage goes in front of every choice.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable

from data_prep.adapters.adapter import NO_LABEL, AdapterFor, Row, adapter_of, find_choice, read_text
from data_prep.examples import ChoiceExample, InvalidData, Unusable
from recipe.tasks import Task

WRONG_NUMBER = "not the dataset's number of choices"


def _example(task: Task, context: str, choices: Iterable[str | None], label: int | None) -> ChoiceExample:
    """The example after the checks that every dataset needs.

    Raises:
        Unusable: A text is empty, or the number of choices is not the dataset's.
        InvalidData: The label is none of the choices.
    """
    texts = tuple(read_text(choice) for choice in choices)
    if len(texts) < 2 or (task.choices is not None and len(texts) != task.choices):
        raise Unusable(WRONG_NUMBER)
    return ChoiceExample(read_text(context), texts, find_choice(task, label, len(texts)))


def _letter(task: Task, letters: Iterable[str], answer: str | None) -> int:
    """The index of the answer's letter (or digit) among the choices' own."""
    names = list(letters)
    if not answer:
        raise Unusable(NO_LABEL)
    if answer not in names:
        raise InvalidData(f"task {task.key}: answer {answer!r} is none of the choices' labels {', '.join(names)}")
    return names.index(answer)


def _lettered(question: str) -> AdapterFor:
    """ARC, OpenBookQA, CommonsenseQA: ``choices`` is a dict of lists with the choices' own letters (or digits)."""

    def convert(task: Task, row: Row) -> ChoiceExample:
        label = _letter(task, row["choices"]["label"], row["answerKey"])
        return _example(task, row[question], row["choices"]["text"], label)

    return adapter_of((question, "choices", "answerKey"), convert)


_COPA_QUESTIONS = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}


def _copa(task: Task, row: Row) -> ChoiceExample:
    if row["question"] not in _COPA_QUESTIONS:
        raise InvalidData(f"task {task.key}: question {row['question']!r} is neither 'cause' nor 'effect'")
    context = f"{read_text(row['premise'])} {_COPA_QUESTIONS[row['question']]}"
    return _example(task, context, (row["choice1"], row["choice2"]), row["label"])


def _math_qa(task: Task, row: Row) -> ChoiceExample:
    """``options`` is one string, ``a ) 24 , b ) 1 , 000 , ...``: commas stand inside options as well as between."""
    options = [part.strip(" ,") for part in re.split(r"(?:^|,)\s*[a-e] \) ", row["options"] or "")[1:]]
    return _example(task, row["Problem"], options, _letter(task, "abcde", row["correct"]))


def _swag(task: Task, row: Row) -> ChoiceExample:
    endings = (f"{(row['sent2'] or '').strip()} {read_text(row[f'ending{i}'])}" for i in range(4))
    return _example(task, row["sent1"], endings, row["label"])


def _hellaswag(task: Task, row: Row) -> ChoiceExample:
    """``label`` is a string, empty where it is hidden."""
    text = row["label"] or "-1"
    if not re.fullmatch(r"-?\d+", text):
        raise InvalidData(f"task {task.key}: label {text!r} is not a number in 0..3")
    endings = (_without_wikihow_tags(ending or "") for ending in row["endings"])
    return _example(task, _without_wikihow_tags(row["ctx"] or ""), endings, int(text))


def _without_wikihow_tags(text: str) -> str:
    """Articles from WikiHow keep their layout's tags: a title ends the sentence before it, the others say nothing."""
    return " ".join(re.sub(r"\[(?:header|title|step|substeps)\]", " ", text.replace(" [title]", ". ")).split())


def _race(task: Task, row: Row) -> ChoiceExample:
    """Cloze questions have a blank ``_`` that the choice fills; other questions stand in front of it."""
    question = read_text(row["question"])
    options = (read_text(option) for option in row["options"])
    choices = (re.sub("_+", lambda _, o=o: o, question) if "_" in question else f"{question} {o}" for o in options)
    return _example(task, row["article"], choices, _letter(task, "ABCD", row["answer"]))


def _cosmos_qa(task: Task, row: Row) -> ChoiceExample:
    question = read_text(row["question"])
    choices = (f"{question} {read_text(row[f'answer{i}'])}" for i in range(4))
    return _example(task, row["context"], choices, row["label"])


def _sciq(task: Task, row: Row) -> ChoiceExample:
    """The Hub has no order of choices: a shuffle seeded by the question gives one that stays the same everywhere."""
    question, right = read_text(row["question"]), read_text(row["correct_answer"])
    choices = [right, *(read_text(row[f"distractor{i}"]) for i in (1, 2, 3))]
    digest = hashlib.sha256(question.encode()).digest()
    order = list(range(len(choices)))
    random.Random(int.from_bytes(digest[:8], "big")).shuffle(order)
    support = (row["support"] or "").strip()
    texts = (f"{question} {choices[i]}" if support else choices[i] for i in order)
    return _example(task, support or question, texts, order.index(0))


TABLE: dict[str, AdapterFor] = {
    "copa": adapter_of(("premise", "choice1", "choice2", "question", "label"), _copa),
    "math_qa": adapter_of(
        ("Problem", "options", "correct"),
        _math_qa,
        {WRONG_NUMBER: "option strings that no rule parts into five, 115 of the 4,475 in validation"},
    ),
    "openbookqa": _lettered("question_stem"),
    "swag": adapter_of(("sent1", "sent2", "ending0", "ending1", "ending2", "ending3", "label"), _swag),
    "hellaswag": adapter_of(("ctx", "endings", "label"), _hellaswag),
    "race": adapter_of(("article", "question", "options", "answer"), _race),
    "commonsense_qa": _lettered("question"),
    "cosmos_qa": adapter_of(("context", "question", "answer0", "answer1", "answer2", "answer3", "label"), _cosmos_qa),
    "arc_easy": _lettered("question"),
    "arc_challenge": _lettered("question"),
    "sciq": adapter_of(("question", "correct_answer", "distractor1", "distractor2", "distractor3", "support"), _sciq),
}
