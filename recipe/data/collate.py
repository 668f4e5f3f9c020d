"""Stored examples -> one microbatch: padding, token types, targets.

Shapes as in :mod:`recipe.data.microbatch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch

from recipe.data.microbatch import IGNORE, Microbatch, Segment
from recipe.tasks import Family, Task

Stored = dict[str, Any]  # one example's columns, as recipe.data.store.columns names them


def collate(examples: Sequence[tuple[Task, Stored]], pad_token_id: int) -> Microbatch:
    """Pads the examples' rows to the longest and groups them by task.

    Args:
        examples: Task and stored columns of each; those of one task must be neighbours.
        pad_token_id: The tokenizer's padding id.
    """
    rows = [row for _, stored in examples for row in _rows(stored)]
    second = np.concatenate([stored["second"] for _, stored in examples])
    lengths = np.array([len(row) for row in rows])
    position = np.arange(lengths.max())
    real = position < lengths[:, None]
    input_ids = np.full(real.shape, pad_token_id, np.int64)
    input_ids[real] = np.concatenate(rows)
    return Microbatch(
        input_ids=torch.from_numpy(input_ids),
        attention_mask=torch.from_numpy(real.astype(np.int64)),
        token_type_ids=torch.from_numpy((real & (position >= second[:, None])).astype(np.int64)),
        segments=_segments(examples),
    )


def _rows(stored: Stored) -> list[np.ndarray]:
    return np.split(stored["tokens"].astype(np.int64), np.cumsum(stored["row_lengths"])[:-1])


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
            **_targets(task.family, stored),
        )
        if "reference" in stored[0]:
            segment["references"] = [_reference(columns) for columns in stored]
        segments.append(segment)
        row, example = row + n_rows, example + len(stored)
    return segments


def _targets(family: Family, stored: list[Stored]) -> dict[str, Any]:
    counts = torch.tensor([len(columns["row_lengths"]) for columns in stored])
    if family is Family.CLASSIFICATION:
        return {"labels": torch.tensor([columns["label"] for columns in stored])}
    if family is Family.COMMONSENSE:
        return {"labels": torch.tensor([columns["label"] for columns in stored]), "choices": counts}
    if family is Family.MRC:
        return {
            "row_example": torch.repeat_interleave(torch.arange(len(stored)), counts),
            "spans": _stack([columns["spans"] for columns in stored]),
            "context": _stack([columns["context"] for columns in stored]),
        }
    if family is Family.SUMMARIZATION:
        return {"target_ids": _pad([columns["target"] for columns in stored])}
    if family is Family.MASKED_LM:
        return {"originals": _pad([columns["originals"] for columns in stored])}
    raise ValueError(f"family {family.value!r} is learned by fine-tuning only, not in pre-finetuning")


def _pad(targets: list[np.ndarray]) -> torch.Tensor:
    rows = [torch.from_numpy(target.astype(np.int64)) for target in targets]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORE)


def _stack(pairs: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(pairs).astype(np.int64).reshape(-1, 2))


def _reference(stored: Stored) -> dict[str, Any]:
    if "offsets" not in stored:
        return stored["reference"]
    offsets = np.split(stored["offsets"].reshape(-1, 2), np.cumsum(stored["row_lengths"])[:-1])
    return {**stored["reference"], "offsets": offsets}
