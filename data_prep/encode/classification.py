"""Classification, regression and plain text: one row an example, its longer text shortened first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tokenizers import Encoding
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode.limits import Limits
from data_prep.encode.rows import Outcome, join, numbered, text_or_pair, tokenize
from data_prep.examples import ClassificationExample, RegressionExample, TextExample
from recipe.data.manifest import WITHHELD


def encode_classification(
    examples: Sequence[ClassificationExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    return [
        join(
            [row],
            {"label": WITHHELD if example.label is None else example.label},
            numbered({"group": example.group}, example.index) if evaluation else None,
        )
        for example, row in zip(examples, _tokenize_texts(examples, tokenizer, limits), strict=True)
    ]


def encode_regression(
    examples: Sequence[RegressionExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    return [
        join(
            [row],
            {"score": np.float32(np.nan if example.score is None else example.score)},
            numbered({}, example.index) if evaluation else None,
        )
        for example, row in zip(examples, _tokenize_texts(examples, tokenizer, limits), strict=True)
    ]


def encode_plain_texts(
    examples: Sequence[TextExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    rows = tokenize(tokenizer, [example.text for example in examples], "longest_first", limits.max_length)
    return [join([row], {}, {} if evaluation else None) for row in rows]


def _tokenize_texts(
    examples: Sequence[ClassificationExample | RegressionExample], tokenizer: PreTrainedTokenizerFast, limits: Limits
) -> list[Encoding]:
    texts = [text_or_pair(example.text, example.second_text) for example in examples]
    return tokenize(tokenizer, texts, "longest_first", limits.max_length)
