"""Reading comprehension: a row for each window of the context, and where the answer stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode.limits import Limits
from data_prep.encode.rows import Outcome, encodings, join
from data_prep.examples import SpanExample

EMPTY_CONTEXT = "context without a token"
LONG_ANSWER = "answer fits no window"


def encode_spans(
    examples: Sequence[SpanExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    batch = tokenizer(
        _cut(tokenizer, [example.question for example in examples], limits.question_length),
        [example.context for example in examples],
        truncation="only_second",
        max_length=limits.max_length,
        stride=limits.stride,
        return_overflowing_tokens=True,
    )
    windows: list[list[Encoding]] = [[] for _ in examples]
    owners = cast(list[int], batch["overflow_to_sample_mapping"])
    for owner, window in zip(owners, encodings(batch), strict=True):
        windows[owner].append(window)
    return [_encode_windows(example, rows, limits, evaluation) for example, rows in zip(examples, windows, strict=True)]


def _encode_windows(
    example: SpanExample,
    windows: list[Encoding],
    limits: Limits,
    evaluation: bool,
) -> Outcome:
    """Label the windows of one example; training keeps those around the answer."""
    contexts = [_context(window) for window in windows]
    if not all(contexts):
        return EMPTY_CONTEXT
    offsets = [_context_offsets(window, *context) for window, context in zip(windows, contexts, strict=True) if context]
    found = [_locate(example.spans, window, *c) for window, c in zip(offsets, contexts, strict=True) if c]
    kept = list(range(len(windows)))
    if not evaluation:
        if example.spans and not any(found):
            return LONG_ANSWER
        kept = _nearest(found, limits.train_windows)
    columns: dict[str, Any] = {
        "spans": np.array([found[i] or (0, 0) for i in kept], np.int32),
        "context": np.array([contexts[i] for i in kept], np.int32),
    }
    if evaluation:
        columns["offsets"] = np.concatenate(offsets)
    reference = {"answers": list(example.answers), "context": example.context} if evaluation else None
    return join([windows[i] for i in kept], columns, reference)


def _context(window: Encoding) -> tuple[int, int] | None:
    """[start, stop) of the second text's tokens, or None if it has none."""
    texts = window.sequence_ids
    return (texts.index(1), len(texts) - texts[::-1].index(1)) if 1 in texts else None


def _context_offsets(window: Encoding, start: int, stop: int) -> NDArray[np.int32]:
    """(L, 2) [start, end) characters of the context, (0, 0) for the other tokens."""
    offsets = np.array(window.offsets, np.int32)
    offsets[:start] = offsets[stop:] = 0
    return offsets


def _locate(
    spans: Sequence[tuple[int, int]], offsets: NDArray[np.int32], start: int, stop: int
) -> tuple[int, int] | None:
    """First and last token of the first span that lies inside the window's context."""
    begins, ends = offsets[start:stop].T
    for span_begin, span_end in spans:
        if begins[0] <= span_begin and span_end <= ends[-1]:
            first = int(np.searchsorted(ends, span_begin, side="right"))
            last = int(np.searchsorted(begins, span_end, side="left")) - 1
            if first <= last:
                return start + first, start + last
    return None


def _nearest(found: Sequence[tuple[int, int] | None], most: int) -> list[int]:
    """Indices of the windows to train on, in their order: those with an answer first, then the nearest to one."""
    answered = [index for index, span in enumerate(found) if span]
    distance = [min((abs(index - other) for other in answered), default=index) for index in range(len(found))]
    return sorted(sorted(range(len(found)), key=lambda index: (distance[index], index))[:most])


def _cut(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], most: int) -> list[str]:
    """The texts, those of more than ``most`` tokens cut after as many."""
    batch = tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=most)
    ends = [encoding.offsets[-1][1] if len(encoding.ids) == most else None for encoding in encodings(batch)]
    return [text[:end] for text, end in zip(texts, ends, strict=True)]
