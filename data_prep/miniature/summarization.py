"""Summarization in small: key words in the document tell the summary, and its opening tells nothing."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from datasets import Value

from data_prep.miniature import words
from data_prep.miniature.sentences import Draw, Miniature, columns, draw_fact, fillers, lower


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
    return {"document": document, "summary": f"\u2013 {summary}"}


def _gigaword(draw: Draw) -> dict[str, Any]:
    """Lower-cased, digits as ``#``, rare words unknown: ``UNK`` or, in the test split, the special token itself."""
    sentences, subject, _ = _story(draw)
    unknown = "<unk>" if draw.chance(0.2) else "UNK"
    return {"document": f"on ## may {lower(' '.join(sentences))}", "summary": f"{subject} in {unknown}"}


def _reddit_tifu(draw: Draw) -> dict[str, Any]:
    sentences, subject, summary = _story(draw)
    numbers = {"ups": 21.0, "num_comments": 3.0, "upvote_ratio": 0.5, "score": 20.0}
    return {**numbers, "documents": "\n\n".join(sentences), "tldr": f" {summary}", "title": f"tifu by {subject}"}


def _scientific_papers(draw: Draw) -> dict[str, Any]:
    """Lower-cased, with placeholders for formulas and citations."""
    sentences, subject, summary = _story(draw)
    article = "\n".join(f"{lower(sentence)} @xmath0 @xcite" for sentence in sentences)
    return {"article": article, "abstract": f" {lower(summary)} \n", "section_names": f"introduction\n{subject}"}


def _big_patent(draw: Draw) -> dict[str, Any]:
    sentences, subject, summary = _story(draw)
    return {
        "description": f"FIELD OF THE INVENTION\n{' '.join(sentences)}",
        "abstract": f"{summary} The {subject} are described.",
    }


_NUMBER = Value("float32")
_PAPER = columns("article abstract section_names")

TABLE: dict[str, Miniature] = {
    "cnn_dailymail": Miniature(columns("article highlights id"), _cnn_dailymail, 300, 40),
    "billsum": Miniature(columns("text summary title"), _billsum, 150, 40),
    "xsum": Miniature(columns("document summary id"), _xsum, 500, 60),
    "aeslc": Miniature(columns("email_body subject_line"), _aeslc, 300, 40),
    "multi_news": Miniature(columns("document summary"), _multi_news, 150, 40),
    "gigaword": Miniature(columns("document summary"), _gigaword, 300, 40),
    "reddit_tifu": Miniature(
        columns("documents tldr title", **dict.fromkeys(("ups", "num_comments", "upvote_ratio", "score"), _NUMBER)),
        _reddit_tifu,
        300,
        0,
    ),
    "arxiv_summarization": Miniature(_PAPER, _scientific_papers, 150, 40),
    "pubmed_summarization": Miniature(_PAPER, _scientific_papers, 150, 40),
    "big_patent": Miniature(columns("description abstract"), _big_patent, 200, 40),
}
