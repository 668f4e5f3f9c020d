"""Examples -> token ids: batches of one family's examples through a fast tokenizer, nothing written.

One module a family. Special tokens and truncation are the tokenizer's own. R rows of an example, L tokens of all of
them together, W words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode.classification import encode_classification, encode_plain_texts, encode_regression
from data_prep.encode.commonsense import LONG_CHOICE, encode_choices
from data_prep.encode.limits import Limits, LimitsError
from data_prep.encode.mrc import EMPTY_CONTEXT, LONG_ANSWER, encode_spans
from data_prep.encode.rows import EncodedExample, Outcome
from data_prep.encode.summarization import encode_summaries
from data_prep.encode.tagging import LONG_SENTENCE, WORD_WITHOUT_TOKEN, encode_tags
from data_prep.examples import Example
from recipe.data.manifest import token_dtype
from recipe.tasks.catalogue import Family

__all__ = [
    "EMPTY_CONTEXT",
    "LONG_ANSWER",
    "LONG_CHOICE",
    "LONG_SENTENCE",
    "WORD_WITHOUT_TOKEN",
    "EncodedExample",
    "Limits",
    "LimitsError",
    "Outcome",
    "encode",
]


def encode(
    examples: Sequence[Example],
    family: Family,
    tokenizer: PreTrainedTokenizerFast,
    limits: Limits,
    split: str,
    labels: Sequence[str] = (),
) -> list[Outcome]:
    """Encode a batch of one family's examples.

    Args:
        split: One of :data:`recipe.data.manifest.SPLITS`; all but ``train`` have the references.
        labels: Class names by number (tagging; the other families' examples have numbers).

    Returns:
        For each example its encoding, or the reason why it is dropped.
    """
    encoders: dict[Family, Callable[..., list[Outcome]]] = {
        Family.CLASSIFICATION: encode_classification,
        Family.COMMONSENSE: encode_choices,
        Family.MRC: encode_spans,
        Family.SUMMARIZATION: encode_summaries,
        Family.REGRESSION: encode_regression,
        Family.MASKED_LM: encode_plain_texts,
        Family.TAGGING: partial(encode_tags, labels=labels),
    }
    if not examples:
        return []
    outcomes = encoders[family](examples, tokenizer, limits, split != "train")
    dtype = token_dtype(len(tokenizer))  # once a batch: asking for the length copies the vocabulary
    for outcome in outcomes:
        if isinstance(outcome, EncodedExample):
            for name in ("tokens", "target"):
                if name in outcome.columns:
                    outcome.columns[name] = outcome.columns[name].astype(dtype)
    return outcomes
