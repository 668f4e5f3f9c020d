"""Tagging: a sentence's words in one row; a word's label stands at its first token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode.limits import Limits
from data_prep.encode.rows import Outcome, join, tokenize
from data_prep.examples import TaggingExample

LONG_SENTENCE = "sentence longer than the maximum length"
WORD_WITHOUT_TOKEN = "a word without a token"


def encode_tags(
    examples: Sequence[TaggingExample],
    tokenizer: PreTrainedTokenizerFast,
    limits: Limits,
    evaluation: bool,
    labels: Sequence[str],
) -> list[Outcome]:
    """Nothing is cut: a sentence without its end has no chunks or tree to compare with.

    The tokenizer gets the words joined by spaces, not a list of words: that is the text it was made for, while byte-
    level tokenizers take lists only with a space put in front of the first word, which changes its ids.
    """
    number = {label: index for index, label in enumerate(labels)}
    rows = tokenize(tokenizer, [" ".join(example.words) for example in examples], offsets=True)
    return [
        _encode_sentence(example, row, number, limits, evaluation) for example, row in zip(examples, rows, strict=True)
    ]


def _encode_sentence(
    example: TaggingExample, row: Encoding, number: dict[str, int], limits: Limits, evaluation: bool
) -> Outcome:
    if len(row.ids) > limits.max_length:
        return LONG_SENTENCE
    words = _first_tokens(example.words, row)
    if words is None:
        return WORD_WITHOUT_TOKEN
    own = {"words": words, "labels": np.array([number.get(tag, -1) for tag in example.tags], np.int32)}
    return join([row], own, {"tags": list(example.tags), "tree": example.tree} if evaluation else None)


def _first_tokens(words: Sequence[str], row: Encoding) -> NDArray[np.int32] | None:
    """(W,) each word's first token, or None where a word has none (tokenizers drop control characters, say)."""
    inside = [index for index, text in enumerate(row.sequence_ids) if text == 0]
    begins, ends = np.array([row.offsets[index] for index in inside], np.int64).reshape(-1, 2).T
    stops = np.array(list(accumulate(len(word) + 1 for word in words))) - 1
    starts = stops - [len(word) for word in words]
    first = np.searchsorted(ends, starts, side="right")
    if (first >= len(inside)).any() or (begins[first] >= stops).any():
        return None
    return np.array(inside, np.int32)[first]
