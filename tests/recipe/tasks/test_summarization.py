"""Summaries are searched for with the settings that were published for each dataset."""

from __future__ import annotations

import pytest

from recipe.tasks import CATALOGUE, Family, get_task
from recipe.tasks.task import Search

# PEGASUS' released configurations: length penalty, longest summary.
PEGASUS = {
    "billsum": (0.6, 256),
    "aeslc": (0.6, 32),
    "multi_news": (0.8, 256),
    "gigaword": (0.6, 32),
    "reddit_tifu": (0.6, 128),
    "arxiv_summarization": (0.8, 256),
    "pubmed_summarization": (0.8, 256),
    "big_patent": (0.7, 256),
}
# fairseq's examples/bart/summarize.py: beam, lenpen, no_repeat_ngram_size, min_len, max_len_b.
BART = {"cnn_dailymail": (4, 2.0, 3, 55, 140), "xsum": (6, 1.0, 3, 10, 60)}


@pytest.mark.parametrize("task", [task.key for task in CATALOGUE.values() if task.family is Family.SUMMARIZATION])
def test_every_summarization_task_has_its_published_search(task: str) -> None:
    if task in PEGASUS:
        assert get_task(task).search == Search(8, PEGASUS[task][0], max_length=PEGASUS[task][1])
        return
    beams, penalty, ngram, least, most = BART[task]
    # Hugging Face counts the decoder's start, and in the longest the end, too.
    assert get_task(task).search == Search(beams, penalty, ngram, least + 1, most + 2)


def test_training_looks_for_summaries_greedily_and_as_long_at_most() -> None:
    assert get_task("multi_news").search.greedy == Search(max_length=256)
