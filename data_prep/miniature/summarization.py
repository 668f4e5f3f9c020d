"""Summarization in small: key words in the document tell the summary, and its opening tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from data_prep.miniature import words
from data_prep.miniature.sentences import Draw, Miniature, columns, draw_fact, fillers


def _story(draw: Draw) -> tuple[list[str], str, str]:
    """The document's sentences, its subject line and its summary; one document in twenty is long."""
    (subject, summary), keywords = draw.rng.choice(list(words.STORIES.items()))
    told = [_worry(draw.rng, keywords) for _ in range(4)]
    if draw.chance(0.05):
        told += fillers(draw.rng, 35, 45)
    return [*fillers(draw.rng, 1, 2), *told], subject, summary


def _worry(rng: Random, keywords: Sequence[str]) -> str:
    fact, (one, other) = draw_fact(rng), rng.sample(keywords, 2)
    return f"The {one} and the {other} {fact.preposition} the {fact.place} worried the {fact.subject}."


def _cnn_dailymail(draw: Draw) -> dict[str, Any]:
    """Highlights stand on lines of their own."""
    sentences, _, summary = _story(draw)
    highlights = f"{summary[:-1]} .\nResidents wait for further news ."
    return {"article": f"(CNN) -- {' '.join(sentences)}", "highlights": highlights, "id": f"{draw.number:040x}"}


def _billsum(draw: Draw) -> dict[str, Any]:
    sentences, subject, summary = _story(draw)
    return {"text": f"SECTION 1. {' '.join(sentences)}", "summary": summary, "title": f"A bill about the {subject}."}


def _xsum(draw: Draw) -> dict[str, Any]:
    sentences, _, summary = _story(draw)
    return {"document": "\n".join(sentences), "summary": summary, "id": str(30_000_000 + draw.number)}


def _aeslc(draw: Draw) -> dict[str, Any]:
    """Bodies end with a newline; targets are very short."""
    sentences, subject, _ = _story(draw)
    return {"email_body": f"Hello team,\n{' '.join(sentences)}\n", "subject_line": subject.capitalize()}


def _multi_news(draw: Draw) -> dict[str, Any]:
    """Two articles between bars; the summary begins with an en dash."""
    sentences, _, summary = _story(draw)
    half = len(sentences) // 2
    document = f"{' '.join(sentences[:half])} ||||| {' '.join(sentences[half:])}"
    return {"document": document, "summary": f"– {summary}"}  # noqa: RUF001


TABLE: dict[str, Miniature] = {
    "cnn_dailymail": Miniature(columns("article highlights id"), _cnn_dailymail, 300, 40),
    "billsum": Miniature(columns("text summary title"), _billsum, 150, 40),
    "xsum": Miniature(columns("document summary id"), _xsum, 500, 60),
    "aeslc": Miniature(columns("email_body subject_line"), _aeslc, 300, 40),
    "multi_news": Miniature(columns("document summary"), _multi_news, 150, 40),
}
