"""Sentences that read like text, and what a generated row is drawn from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from datasets import Features, Value
from datasets import List as ListOf

from data_prep.miniature import words


@dataclass(frozen=True)
class Draw:
    """What one row is drawn from: the split's random numbers, the row's number, and whether it is for evaluation."""

    rng: Random
    number: int
    evaluation: bool

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability


@dataclass(frozen=True)
class Miniature:
    """One dataset in small.

    Attributes:
        features: The Hub's columns; their Arrow schema carries the Hub's metadata.
        draw: Draws one raw row.
        train: Examples of the training split by default.
        evaluation: Examples of the first evaluation split by default.
    """

    features: Features
    draw: Callable[[Draw], dict[str, Any]]
    train: int
    evaluation: int


def columns(text: str = "", integer: str = "", texts: str = "", **others: Any) -> Features:
    """Features from names separated by spaces: strings, 32-bit integers, lists of strings, and all others by type."""
    named = {name: Value("string") for name in text.split()}
    named |= {name: Value("int32") for name in integer.split()}
    named |= {name: ListOf(Value("string")) for name in texts.split()}
    return Features(named | others)


@dataclass(frozen=True)
class Fact:
    """Something that happened, to be stated, asked about, or denied."""

    adjective: str
    subject: str
    verb: str
    object: str
    preposition: str
    place: str

    def statement(self, cue: str = "") -> str:
        """A sentence of 10 or 11 words, the cue in front of its verb."""
        verb = " ".join(filter(None, (cue, words.VERBS[self.verb])))
        return f"The {self.adjective} {self.subject} {verb} the {self.object} {self.preposition} the {self.place}."

    def short_statement(self, cue: str = "") -> str:
        verb = " ".join(filter(None, (cue, words.VERBS[self.verb])))
        return f"The {self.subject} {verb} the {self.object}."

    def question(self) -> str:
        """What can follow a question word such as "where"."""
        return f"{self.open_question()} the {self.object}"

    def open_question(self) -> str:
        """As :meth:`question`, but asking for the object."""
        return f"did the {self.subject} {self.verb}"


def draw_fact(rng: Random) -> Fact:
    return Fact(
        adjective=rng.choice(words.ADJECTIVES),
        subject=rng.choice(words.SUBJECTS),
        verb=rng.choice(list(words.VERBS)),
        object=rng.choice(words.OBJECTS),
        preposition=rng.choice(words.PREPOSITIONS),
        place=rng.choice(words.PLACES),
    )


def fillers(rng: Random, least: int, most: int) -> list[str]:
    """Sentences without any signal."""
    return [draw_fact(rng).statement() for _ in range(rng.randint(least, most))]


def paragraph(rng: Random, sentence: str, least: int, most: int) -> list[str]:
    """Sentences without signal and, at a random place, the given one."""
    sentences = fillers(rng, least, most)
    sentences.insert(rng.randint(0, len(sentences)), sentence)
    return sentences


def lower(sentence: str) -> str:
    """Lower-cased and with spaces around punctuation, as several datasets are."""
    return sentence.lower().replace(".", " .").replace(",", " ,")
