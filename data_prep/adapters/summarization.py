"""Summarization: a document and its summary."""

from __future__ import annotations

import re
from collections.abc import Callable

from data_prep.adapters.adapter import AdapterFor, Row, adapter_of, read_text
from data_prep.examples import SummaryExample
from recipe.tasks import Task


def _summary(
    document: str,
    summary: str,
    clean_document: Callable[[str], str] = str,
    clean_summary: Callable[[str], str] = str,
) -> AdapterFor:
    """Document and summary each in a column of their own."""

    def convert(task: Task, row: Row) -> SummaryExample:
        return SummaryExample(
            document=read_text(clean_document(row[document] or "")),
            summary=read_text(clean_summary(row[summary] or "")),
        )

    return adapter_of((document, summary), convert)


def _one_document(text: str) -> str:
    """Multi-News separates the articles of a cluster by five bars; its raw files write line breaks as a word."""
    return re.sub(r"\s*(?:\|{5}|NEWLINE_CHAR)\s*", "\n", text)


def _without_leading_dash(text: str) -> str:
    return text.lstrip("\u2013\u2014 \n")


def _without_special_token(text: str) -> str:
    """Gigaword's test split says ``<unk>``, a token of its own to RoBERTa and BART, where the others say ``UNK``."""
    return text.replace("<unk>", "UNK")


TABLE: dict[str, AdapterFor] = {
    "cnn_dailymail": _summary("article", "highlights"),
    "billsum": _summary("text", "summary"),
    "xsum": _summary("document", "summary"),
    "aeslc": _summary("email_body", "subject_line"),
    "multi_news": _summary("document", "summary", _one_document, _without_leading_dash),
    "gigaword": _summary("document", "summary", _without_special_token, _without_special_token),
    "reddit_tifu": _summary("documents", "tldr"),
    "arxiv_summarization": _summary("article", "abstract"),
    "pubmed_summarization": _summary("article", "abstract"),
    "big_patent": _summary("description", "abstract"),
}
