"""What one forward/backward handles on one rank: rows for the backbone, segments for the heads.

Plain dictionaries and tensors, because Composer moves, copies and splits batches by those types.

Shapes: R rows of the microbatch, L tokens of its longest row, B its examples;
r, b and w the rows, examples and words of one segment, T tokens of its longest target.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import torch
from torch import Tensor

IGNORE = -100  # target positions, and labels of words, that count for nothing


class _Place(TypedDict):
    """What every segment has."""

    task: str  # key of the task
    family: str  # value of recipe.tasks.Family
    rows: tuple[int, int]  # [start, stop) into the microbatch's R rows
    examples: tuple[int, int]  # [start, stop) into the microbatch's B examples


class Segment(_Place, total=False):
    """The rows of a microbatch that belong to one task: always contiguous, examples in the same order.

    Besides its place a segment has the targets of its family.
    """

    labels: Tensor  # (b,) int64: class (classification) or right choice (commonsense); (w,): of each word (tagging)
    choices: Tensor  # (b,) int64: rows of each example, in order (commonsense)
    row_example: Tensor  # (r,) int64: which of the segment's b examples a window belongs to (mrc)
    spans: Tensor  # (r, 2) int64: first and last answer token, both 0 where the window has no answer (mrc)
    context: Tensor  # (r, 2) int64: [start, stop) of the context's tokens in the row (mrc)
    words: Tensor  # (w, 2) int64: which of the segment's b examples a word belongs to, its first token (tagging)
    scores: Tensor  # (b,) float32: 0 for the task's least score, 1 for its most (regression)
    target_ids: Tensor  # (b, T) int64, ending in EOS, padded with IGNORE (summarization; masked_lm with a decoder)
    originals: Tensor  # (b, T) int64: what masked tokens were, IGNORE at all others (masked_lm)
    references: list[dict[str, Any]]  # b of them, evaluation only: what the metrics need (recipe.data.store)


class _Rows(TypedDict):
    """What every microbatch has."""

    input_ids: Tensor  # (R, L) int64, padded with the tokenizer's padding id
    attention_mask: Tensor  # (R, L) int64, 1 for tokens, 0 for padding
    token_type_ids: Tensor  # (R, L) int64, 1 from a row's second text on (backbones without types ignore it)
    segments: list[Segment]


class Microbatch(_Rows, total=False):
    """Rows sorted so that every task's are contiguous; segments list them in order."""

    weights: Tensor  # (B,) float32: what each example's loss is multiplied by; absent: 1
    ids: Tensor  # (B,) int64: each example's number in the store; evaluation only
    step_tasks: tuple[str, ...]  # keys of the tasks in the whole step, all ranks'; training only


Batch = list[Microbatch]  # what a rank's loader yields for one optimiser step


def count_examples(batch: Batch | Microbatch) -> int:
    """Number of examples: Composer weights losses and places the resume position by it."""
    if isinstance(batch, list):
        return sum(count_examples(microbatch) for microbatch in batch)
    return batch["segments"][-1]["examples"][1]


def count_tokens(batch: Batch | Microbatch) -> int:
    """Number of real tokens (padding excluded), encoder and target."""
    if isinstance(batch, list):
        return sum(count_tokens(microbatch) for microbatch in batch)
    targets = sum(int((s["target_ids"] != IGNORE).sum()) for s in batch["segments"] if "target_ids" in s)
    return int(batch["attention_mask"].sum()) + targets


def example_tasks(microbatch: Microbatch, index: Mapping[str, int]) -> Tensor:
    """(B,) int64: ``index`` of each example's task, on the microbatch's device."""
    segments = microbatch["segments"]
    counts = torch.tensor([stop - start for start, stop in (segment["examples"] for segment in segments)])
    tasks = torch.tensor([index[segment["task"]] for segment in segments])
    return torch.repeat_interleave(tasks, counts).to(microbatch["input_ids"].device, non_blocking=True)
