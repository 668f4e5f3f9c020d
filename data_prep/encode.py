"""Examples -> token ids: batches of one family's examples through a fast tokenizer, nothing written.

Special tokens and truncation are the tokenizer's own. R rows of an example, L tokens of all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers.tokenization_utils_base import BatchEncoding
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.examples import ChoiceExample, ClassificationExample, Example, SpanExample, SummaryExample
from recipe.data.store import token_dtype
from recipe.errors import UserError
from recipe.tasks.catalogue import Family

LONG_CHOICE = "choice longer than the maximum length"
EMPTY_CONTEXT = "context without a token"
LONG_ANSWER = "answer fits no window"


class LimitsError(UserError):
    """Limits that leave no room for what they limit."""


@dataclass(frozen=True)
class Limits:
    """How long rows and targets may become, in tokens with special tokens.

    Attributes:
        max_length: Most tokens of a row.
        max_target_length: Most tokens of a target (summarization).
        stride: Context tokens that neighbouring windows share (mrc).
        train_windows: Most windows of a training example (mrc).
    """

    max_length: int = 512
    max_target_length: int = 128
    stride: int = 128
    train_windows: int = 4

    def __post_init__(self) -> None:
        for name, least in (("max_length", 32), ("max_target_length", 4), ("stride", 0), ("train_windows", 1)):
            if getattr(self, name) < least:
                raise LimitsError(f"{name}={getattr(self, name)}: expected at least {least}")
        if self.stride > self.max_length // 2:
            raise LimitsError(f"stride={self.stride}: expected at most half of max_length={self.max_length}")

    @property
    def question_length(self) -> int:
        """Most tokens of a question: the windows' context must keep room for more than the stride."""
        return min(64, self.max_length // 4)


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


def encode(
    examples: Sequence[Example], family: Family, tokenizer: PreTrainedTokenizerFast, limits: Limits, split: str
) -> list[Outcome]:
    """Encode a batch of one family's examples.

    Args:
        split: ``train`` or ``validation``; the latter's columns have the references.

    Returns:
        For each example its encoding, or the reason why it is dropped.
    """
    encoders: dict[Family, Callable[..., list[Outcome]]] = {
        Family.CLASSIFICATION: _encode_classification,
        Family.COMMONSENSE: _encode_choices,
        Family.MRC: _encode_spans,
        Family.SUMMARIZATION: _encode_summaries,
    }
    if not examples:
        return []
    outcomes = encoders[family](examples, tokenizer, limits, split == "validation")
    dtype = token_dtype(len(tokenizer))  # once a batch: asking for the length copies the vocabulary
    for outcome in outcomes:
        if isinstance(outcome, EncodedExample):
            for name in ("tokens", "target"):
                if name in outcome.columns:
                    outcome.columns[name] = outcome.columns[name].astype(dtype)
    return outcomes


def _encode_classification(
    examples: Sequence[ClassificationExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    texts = [(example.text, example.second_text) for example in examples]
    rows = _tokenize(tokenizer, texts, "longest_first", limits.max_length)
    return [
        _join([row], {"label": example.label}, {"group": example.group} if evaluation else None)
        for example, row in zip(examples, rows, strict=True)
    ]


def _encode_choices(
    examples: Sequence[ChoiceExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    choices = [choice for example in examples for choice in example.choices]
    sizes = iter([len(row.ids) for row in _encodings(tokenizer(choices, add_special_tokens=False, verbose=False))])
    longest = [max(next(sizes) for _ in example.choices) for example in examples]
    # One token of the context must be left: the tokenizer refuses to cut a text away altogether.
    room = limits.max_length - tokenizer.num_special_tokens_to_add(pair=True) - 1
    fitting = [example for example, size in zip(examples, longest, strict=True) if size <= room]
    texts = [
        (example.context, choice) if example.context.strip() else (choice, None)
        for example in fitting
        for choice in example.choices
    ]
    rows = iter(_tokenize(tokenizer, texts, "only_first", limits.max_length))
    return [
        _join([next(rows) for _ in example.choices], {"label": example.label}, {} if evaluation else None)
        if size <= room
        else LONG_CHOICE
        for example, size in zip(examples, longest, strict=True)
    ]


def _encode_summaries(
    examples: Sequence[SummaryExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    documents = _tokenize(tokenizer, [(example.document, None) for example in examples], True, limits.max_length)
    summaries = _tokenize(tokenizer, [(example.summary, None) for example in examples], True, limits.max_target_length)
    return [
        _join(
            [document],
            {"target": np.array(summary.ids)},
            {"summary": example.summary} if evaluation else None,
        )
        for example, document, summary in zip(examples, documents, summaries, strict=True)
    ]


def _encode_spans(
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
    for owner, window in zip(owners, _encodings(batch), strict=True):
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
    return _join([windows[i] for i in kept], columns, reference)


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
    ends = [encoding.offsets[-1][1] if len(encoding.ids) == most else None for encoding in _encodings(batch)]
    return [text[:end] for text, end in zip(texts, ends, strict=True)]


def _tokenize(
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
            rows.update(zip(chosen, _encodings(batch), strict=True))
    return [rows[index] for index in range(len(texts))]


def _encodings(batch: BatchEncoding) -> list[Encoding]:
    return cast(list[Encoding], batch.encodings)


def _join(
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
