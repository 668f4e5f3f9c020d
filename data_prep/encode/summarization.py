"""Summarization: the document is the row, the summary the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode.limits import Limits
from data_prep.encode.rows import Outcome, join, tokenize
from data_prep.examples import SummaryExample


def encode_summaries(
    examples: Sequence[SummaryExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    texts, targets = [example.document for example in examples], [example.summary for example in examples]
    documents = tokenize(tokenizer, texts, "longest_first", limits.max_length)
    summaries = tokenize(tokenizer, targets, "longest_first", limits.max_target_length)
    return [
        join(
            [document],
            {"target": np.array(summary.ids)},
            {"summary": example.summary} if evaluation else None,
        )
        for example, document, summary in zip(examples, documents, summaries, strict=True)
    ]
