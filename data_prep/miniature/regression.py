"""Regression in small: two sentences are as similar as the number of words they share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from datasets import Value

from data_prep.miniature.sentences import Draw, Miniature, columns, draw_fact


def _stsb(draw: Draw) -> dict[str, Any]:
    """One point for each of five parts that both sentences have."""
    one, other = draw_fact(draw.rng), draw_fact(draw.rng)
    parts = ("adjective", "subject", "verb", "object", "place")
    shared = draw.rng.sample(parts, draw.rng.randint(0, len(parts)))
    other = replace(other, **{part: getattr(one, part) for part in shared})
    score = sum(getattr(one, part) == getattr(other, part) for part in parts)
    return {
        "sentence1": one.statement(),
        "sentence2": other.statement(),
        "label": float(score),
        "idx": draw.number,
    }


TABLE: dict[str, Miniature] = {
    "stsb": Miniature(columns("sentence1 sentence2", "idx", label=Value("float32")), _stsb, 300, 60),
}
