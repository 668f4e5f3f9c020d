"""What every family's encoding is made of: rows of tokens, laid out one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from tokenizers import Encoding
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast
from transformers.utils.generic import PaddingStrategy


@dataclass(frozen=True, slots=True)
class EncodedExample:
    """The columns of one stored sample (:func:`recipe.data.store.columns`) and what planning needs to know of it.

    ``longest`` is the tokens of its longest row, ``target`` those of its target.
    """

    columns: dict[str, Any]
    rows: int
    longest: int
    target: int = 0

    @property
    def tokens(self) -> int:
        return len(self.columns["tokens"]) + self.target


Outcome = EncodedExample | str  # or the reason why an example is dropped
Text = str | tuple[str, str]


def tokenize(
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[Text],
    truncation: str = "do_not_truncate",
    max_length: int = 0,
    *,
    stride: int = 0,
    special_tokens: bool = True,
    offsets: bool = False,
) -> list[Encoding]:
    """One row for each text or pair of texts; what was cut off is in the row's ``overflowing``.

    Straight to the tokenizer's core: its Python side would turn every row into lists that nobody reads.

    Args:
        truncation: One of Hugging Face's strategies; ``stride`` tokens are shared with what overflows.
        offsets: Whether the rows know their tokens' characters, which takes longer.
    """
    strategy = TruncationStrategy(truncation)
    tokenizer.set_truncation_and_padding(PaddingStrategy.DO_NOT_PAD, strategy, max_length, stride, None, None)
    core = tokenizer.backend_tokenizer
    return (core.encode_batch if offsets else core.encode_batch_fast)(list(texts), add_special_tokens=special_tokens)


def text_or_pair(first: str, second: str | None) -> Text:
    return first if second is None else (first, second)


def join(
    rows: Sequence[Encoding],
    own: dict[str, Any],
    reference: dict[str, Any] | None,
) -> EncodedExample:
    """Lay an example's rows out one after another, beside its family's ``own`` columns."""
    ids = [row.ids for row in rows]
    lengths = [len(row) for row in ids]
    columns = {
        "tokens": np.fromiter(chain.from_iterable(ids), np.int64, sum(lengths)),
        "row_lengths": np.array(lengths, np.int32),
        "second": np.array([_second_start(row, length) for row, length in zip(rows, lengths, strict=True)], np.int32),
        **own,
        **({} if reference is None else {"reference": reference}),
    }
    return EncodedExample(columns, len(rows), max(lengths), len(own.get("target", ())))


def numbered(reference: dict[str, Any], index: Any) -> dict[str, Any]:
    """A reference with the example's number on its benchmark's leaderboard, if it has one."""
    return reference if index is None else reference | {"index": index}


def _second_start(row: Encoding, length: int) -> int:
    """The token where the second text starts; the row's ``length`` without one.

    Token types say so where the tokenizer has them, also when the second text has no token of its own.
    """
    if row.n_sequences > 1:
        for marks in (row.type_ids, row.sequence_ids):
            if 1 in marks:
                return marks.index(1)
    return length
