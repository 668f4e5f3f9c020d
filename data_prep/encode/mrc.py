"""Reading comprehension: a row for each window of the context, and where the answer stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode.limits import Limits
from data_prep.encode.rows import Outcome, join, numbered, tokenize
from data_prep.examples import SpanExample

EMPTY_CONTEXT = "context without a token"
LONG_ANSWER = "answer fits no window"


def encode_spans(
    examples: Sequence[SpanExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    questions = _cut(tokenizer, [example.question for example in examples], limits.question_length)
    rows = tokenize(
        tokenizer,
        list(zip(questions, (example.context for example in examples), strict=True)),
        "only_second",
        limits.max_length,
        stride=limits.stride,
        offsets=True,
    )
    return [
        _encode_windows(example, [row, *row.overflowing], limits, evaluation)
        for example, row in zip(examples, rows, strict=True)
    ]


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
    answers = None if example.answers is None else list(example.answers)
    reference = numbered({"answers": answers, "context": example.context}, example.index) if evaluation else None
    return join([windows[i] for i in kept], columns, reference)


def _context(window: Encoding) -> tuple[int, int] | None:
    """[start, stop) of the second text's tokens, or None if it has none."""
    texts = window.sequence_ids
    return (texts.index(1), len(texts) - texts[::-1].index(1)) if 1 in texts else None


def _context_offsets(window: Encoding, start: int, stop: int) -> NDArray[np.int32]:
    """(L, 2) [start, end) characters of the context, (0, 0) for the other tokens."""
    offsets = np.fromiter(chain.from_iterable(window.offsets), np.int32).reshape(-1, 2)
    offsets[:start] = offsets[stop:] = 0
    return offsets


def _locate(
    spans: Sequence[tuple[int, int]], offsets: NDArray[np.int32], start: int, stop: int
) -> tuple[int, int] | None:
    """First and last token of the first span that lies inside the window's context."""
    begins, ends = offsets[start:stop].T
    for span_begin, span_end in spans:
        if begins[0] <= span_begin and span_end <= ends[-1]:
            first = int(ends.searchsorted(span_begin, side="right"))
            last = int(begins.searchsorted(span_end, side="left")) - 1
            if first <= last:
                return start + first, start + last
    return None


def _nearest(found: Sequence[tuple[int, int] | None], most: int) -> list[int]:
    """Indices of the windows to train on, in their order: those with an answer first, then the nearest to one."""
    if len(found) <= most:
        return list(range(len(found)))
    answered = [index for index, span in enumerate(found) if span]
    distance = [min((abs(index - other) for other in answered), default=index) for index in range(len(found))]
    return sorted(sorted(range(len(found)), key=lambda index: (distance[index], index))[:most])


def _cut(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], most: int) -> list[str]:
    """The texts, those of more than ``most`` tokens cut after as many."""
    cut = list(texts)
    long = [index for index, text in enumerate(texts) if len(text) >= most or not text.isascii()]  # others cannot be
    rows = tokenize(
        tokenizer, [texts[index] for index in long], "longest_first", most, special_tokens=False, offsets=True
    )
    for index, row in zip(long, rows, strict=True):
        if len(row.ids) == most:
            cut[index] = texts[index][: row.offsets[-1][1]]
    return cut
