"""Stored examples -> one microbatch: padding, token types, targets.

Shapes as in :mod:`recipe.data.microbatch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from recipe.data.microbatch import IGNORE, Microbatch, Segment
from recipe.tasks import Family, Task

Stored = dict[str, Any]  # one example's columns, as recipe.data.store.columns names them


def collate(examples: Sequence[tuple[Task, Stored]], pad_token_id: int) -> Microbatch:
    """Pads the examples' rows to the longest and groups them by task.

    Args:
        examples: Task and stored columns of each; those of one task must be neighbours.
        pad_token_id: The tokenizer's padding id.
    """
    lengths = np.concatenate([stored["row_lengths"] for _, stored in examples])
    second = np.concatenate([stored["second"] for _, stored in examples])
    position = np.arange(lengths.max())
    real = position < lengths[:, None]
    input_ids = np.full(real.shape, pad_token_id, np.int64)
    input_ids[real] = np.concatenate([stored["tokens"] for _, stored in examples])
    return Microbatch(
        input_ids=torch.from_numpy(input_ids),
        attention_mask=torch.from_numpy(real.astype(np.int64)),
        token_type_ids=torch.from_numpy((real & (position >= second[:, None])).astype(np.int64)),
        segments=_segments(examples),
    )


def _segments(examples: Sequence[tuple[Task, Stored]]) -> list[Segment]:
    segments: list[Segment] = []
    example = row = 0
    for task, group in groupby(examples, key=lambda pair: pair[0]):
        stored = [columns for _, columns in group]
        n_rows = sum(len(columns["row_lengths"]) for columns in stored)
        segment = Segment(
            task=task.key,
            family=task.family.value,
            rows=(row, row + n_rows),
            examples=(example, example + len(stored)),
            **_targets(task, stored),
        )
        if "reference" in stored[0]:
            segment["references"] = [_reference(columns) for columns in stored]
        segments.append(segment)
        row, example = row + n_rows, example + len(stored)
    return segments


def _targets(task: Task, stored: list[Stored]) -> dict[str, Any]:
    family = task.family
    if family is Family.CLASSIFICATION:
        return {"labels": _tensor([columns["label"] for columns in stored])}
    counts = [len(columns["row_lengths"]) for columns in stored]
    if family is Family.COMMONSENSE:
        return {"labels": _tensor([columns["label"] for columns in stored]), "choices": _tensor(counts)}
    if family is Family.MRC:
        return {
            "row_example": _tensor(np.repeat(np.arange(len(stored)), counts)),
            "spans": _tensor(np.concatenate([columns["spans"] for columns in stored])),
            "context": _tensor(np.concatenate([columns["context"] for columns in stored])),
        }
    if family in (Family.SUMMARIZATION, Family.MASKED_LM):
        names = {"target_ids": "target", "originals": "originals"}
        return {name: _pad([columns[own] for columns in stored]) for name, own in names.items() if own in stored[0]}
    if family is Family.TAGGING:
        return _tags(stored)
    least, most = task.score_range
    scores = np.array([columns["score"] for columns in stored], np.float32)
    return {"scores": torch.from_numpy((scores - np.float32(least)) / np.float32(most - least))}


def _tags(stored: list[Stored]) -> dict[str, Any]:
    labels = np.concatenate([columns["labels"] for columns in stored])
    first_tokens = np.concatenate([columns["words"] for columns in stored])
    example = np.repeat(np.arange(len(stored)), [len(columns["words"]) for columns in stored])
    return {
        "words": _tensor(np.stack([example, first_tokens], axis=1)),
        "labels": _tensor(np.where(labels < 0, IGNORE, labels)),
    }


def _pad(targets: list[np.ndarray]) -> torch.Tensor:
    padded = np.full((len(targets), max(map(len, targets))), IGNORE, np.int64)
    for row, target in zip(padded, targets, strict=True):
        row[: len(target)] = target
    return _tensor(padded)


def _tensor(values: ArrayLike) -> torch.Tensor:
    """int64, by way of NumPy: from a list it takes a third of the time of ``torch.tensor``."""
    return torch.from_numpy(np.array(values, np.int64))


def _reference(stored: Stored) -> dict[str, Any]:
    if "offsets" not in stored:
        return stored["reference"]
    offsets = np.split(stored["offsets"].reshape(-1, 2), np.cumsum(stored["row_lengths"])[:-1])
    return {**stored["reference"], "offsets": offsets}
