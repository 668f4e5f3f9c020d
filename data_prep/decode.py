"""Stored examples -> the texts they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.streams import Sample
from recipe.data.tokenizer import fingerprint, load_tokenizer
from recipe.errors import UserError
from recipe.tasks.catalogue import Family

Tokens = NDArray[np.integer]


def example_texts(sample: Sample, family: Family, stride: int) -> list[Tokens]:
    """Token ids of each text of an example, special tokens included, as its adapter made them but for what was cut.

    classification: the one or two texts; commonsense: the context, if there is one, and the choices; mrc: question
    and context; summarization: document and summary.

    Args:
        sample: One example's columns.
        stride: Tokens that neighbouring windows of the stream share (mrc).
    """
    rows = np.split(sample["tokens"], np.cumsum(sample["row_lengths"])[:-1])
    pairs = [(row[:start], row[start:]) for row, start in zip(rows, sample["second"].tolist(), strict=True)]
    if family is Family.MRC:
        windows = [row[start:stop] for row, (start, stop) in zip(rows, sample["context"].tolist(), strict=True)]
        return [pairs[0][0], _join_windows(windows, stride)]
    if family is Family.SUMMARIZATION:
        return [rows[0], sample["target"]]
    if family is Family.COMMONSENSE:
        if all(len(second) for _, second in pairs):
            # Each choice leaves the context its own room: the row with the shortest choice shows most of it.
            return [max((first for first, _ in pairs), key=len), *(second for _, second in pairs)]
        return rows
    return [text for pair in pairs for text in pair if len(text)]


def decode_texts(tokenizer: PreTrainedTokenizerFast, texts: Sequence[Tokens]) -> list[str]:
    """The texts without special tokens."""
    return tokenizer.backend_tokenizer.decode_batch([text.tolist() for text in texts], skip_special_tokens=True)


@cache
def load_tokenizer_of(name: str, expected: str) -> PreTrainedTokenizerFast:
    """The tokenizer that a stream was made with.

    Args:
        name: Name or folder.
        expected: The fingerprint in the stream's manifest.

    Raises:
        UserError: It cannot be loaded, or does something else to text.
    """
    tokenizer = load_tokenizer(name)
    if fingerprint(tokenizer) != expected:
        raise UserError(
            f"tokenizer {name!r}: is not the one that the store was made with (fingerprint "
            f"{fingerprint(tokenizer)[:8]}, expected {expected[:8]}); name that one with --tokenizer"
        )
    return tokenizer


def _join_windows(windows: Sequence[Tokens], stride: int) -> Tokens:
    """The context that windows were cut from; windows that training left out leave no mark."""
    parts = [windows[0]]
    for previous, window in pairwise(windows):
        shared = stride if stride and np.array_equal(previous[-stride:], window[:stride]) else 0
        parts.append(window[shared:])
    return np.concatenate(parts)
