"""What every family's encoding is made of: rows of tokens, laid out one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from tokenizers import Encoding
from transformers.tokenization_utils_base import BatchEncoding
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast


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


def tokenize(
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[tuple[str, str | None]],
    truncation: str | bool,
    max_length: int,
) -> list[Encoding]:
    """One row for each text or pair of texts."""
    rows: dict[int, Encoding] = {}
    for paired in (False, True):
        chosen = [index for index, (_, second) in enumerate(texts) if (second is not None) is paired]
        if chosen:
            batch = tokenizer(
                [texts[index][0] for index in chosen],
                [texts[index][1] or "" for index in chosen] if paired else None,
                truncation=truncation,
                max_length=max_length,
                return_attention_mask=False,
            )
            rows.update(zip(chosen, encodings(batch), strict=True))
    return [rows[index] for index in range(len(texts))]


def encodings(batch: BatchEncoding) -> list[Encoding]:
    return cast(list[Encoding], batch.encodings)


def join(
    rows: Sequence[Encoding],
    own: dict[str, Any],
    reference: dict[str, Any] | None,
) -> EncodedExample:
    """Lay an example's rows out one after another, beside its family's ``own`` columns."""
    lengths = [len(row.ids) for row in rows]
    columns = {
        "tokens": np.array([token for row in rows for token in row.ids]),
        "row_lengths": np.array(lengths, np.int32),
        "second": np.array([_second_start(row) for row in rows], np.int32),
        **own,
        **({} if reference is None else {"reference": reference}),
    }
    return EncodedExample(columns, len(rows), max(lengths), len(own.get("target", ())))


def _second_start(row: Encoding) -> int:
    """The token where the second text starts; the row's length without one.

    Token types say so where the tokenizer has them, also when the second text has no token of its own.
    """
    for marks in (row.type_ids, row.sequence_ids):
        if 1 in marks:
            return marks.index(1)
    return len(row.ids)
