"""Summarization rows: what a dataset's files write in place of a character or a break is put back."""

from __future__ import annotations

from data_prep.adapters import get_adapter
from data_prep.examples import SummaryExample


def test_gigaword_unknown_words_are_no_special_tokens() -> None:
    row = {"document": "<unk> of UNK", "summary": "<unk>"}
    assert get_adapter("gigaword").convert(row) == SummaryExample("UNK of UNK", "UNK")


def test_multi_news_articles_stand_on_lines_and_summaries_without_dash() -> None:
    row = {"document": "One. ||||| TwoNEWLINE_CHARlines. |||||", "summary": "\u2013 Three."}
    assert get_adapter("multi_news").convert(row) == SummaryExample("One.\nTwo\nlines.", "Three.")
