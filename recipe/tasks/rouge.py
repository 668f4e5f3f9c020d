"""ROUGE of a summary, as Google's rouge-score counts it (arXiv 1803.01937)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from rouge_score.rouge_scorer import RougeScorer

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_SENTENCE_END = re.compile(r"([.!?][\"')\]]*)\s+")


# A task's ROUGE metrics score the same batch one after the other; stemming is what costs.
@lru_cache(maxsize=1024)
def rouge_scores(prediction: str, reference: str) -> Mapping[str, float]:
    """Stemmed ROUGE F-measures of one summary, by name; rougeLsum compares sentence by sentence."""
    scores = _rouge_scorer().score(target=split_sentences(reference), prediction=split_sentences(prediction))
    return {name: float(score.fmeasure) for name, score in scores.items()}


def split_sentences(text: str) -> str:
    """The text with a line break after each sentence; those that it has stay. The other ROUGE scores do not see them.

    A sentence ends with ``.``, ``!`` or ``?`` before white space (NLTK's splitter would have to be downloaded).
    """
    return _SENTENCE_END.sub(r"\1\n", text)


@lru_cache(maxsize=1)
def _rouge_scorer() -> RougeScorer:
    return RougeScorer(ROUGE, use_stemmer=True)
