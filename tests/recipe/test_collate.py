"""Microbatches hold what the store holds: the vectorised collation against one that goes token by token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recipe.data.collate import collate
from recipe.data.microbatch import IGNORE, Microbatch
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import Task
from tests.tiny_run import MINIATURE_TASKS

PADDING = 1


@pytest.fixture(scope="module", params=["train", "validation"])
def examples(
    request: pytest.FixtureRequest,
    miniature_store: str,
    tiny_tokenizer_folder: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> list[tuple[Task, dict[str, Any]]]:
    """Three examples of each task."""
    cache = str(tmp_path_factory.mktemp("cache"))
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    store = open_store(miniature_store, tokenizer, MINIATURE_TASKS, request.param, cache)
    first = np.flatnonzero(np.diff(store.task_of, prepend=-1))
    return [(store.tasks[store.task_of[i]], store[i]) for start in first for i in range(start, start + 3)]


def test_a_microbatch_is_its_examples_row_by_row(examples: list[tuple[Task, dict[str, Any]]]):
    microbatch = collate(examples, PADDING)
    rows = [row for _, example in examples for row in rows_of(example)]
    length = max(len(tokens) for tokens, _ in rows)
    assert microbatch["input_ids"].tolist() == [tokens + [PADDING] * (length - len(tokens)) for tokens, _ in rows]
    assert microbatch["attention_mask"].tolist() == [
        [1] * len(tokens) + [0] * (length - len(tokens)) for tokens, _ in rows
    ]
    assert microbatch["token_type_ids"].tolist() == [
        [0] * second + [1] * (len(tokens) - second) + [0] * (length - len(tokens)) for tokens, second in rows
    ]
    tensors = [value for segment in microbatch["segments"] for value in segment.values() if torch.is_tensor(value)]
    assert {tensor.dtype for tensor in tensors} == {torch.int64}


def test_every_segment_has_its_familys_targets(examples: list[tuple[Task, dict[str, Any]]]):
    microbatch = collate(examples, PADDING)
    assert [segment["task"] for segment in microbatch["segments"]] == list(MINIATURE_TASKS)
    start = 0
    for number, segment in enumerate(microbatch["segments"]):
        stored = [example for _, example in examples[3 * number : 3 * number + 3]]
        counts = [len(example["row_lengths"]) for example in stored]
        assert segment["examples"] == (3 * number, 3 * number + 3)
        assert segment["rows"] == (start, start + sum(counts))
        start += sum(counts)
        assert targets_of(microbatch, number) == expected_targets(segment["family"], stored, counts)


def rows_of(example: dict[str, Any]) -> list[tuple[list[int], int]]:
    """Tokens of each row, and where its second text starts."""
    tokens = iter(example["tokens"].tolist())
    lengths = zip(example["row_lengths"], example["second"].tolist(), strict=True)
    return [([next(tokens) for _ in range(length)], second) for length, second in lengths]


def targets_of(microbatch: Microbatch, number: int) -> dict[str, Any]:
    places = {"task", "family", "rows", "examples", "references"}
    segment = microbatch["segments"][number]
    return {name: value.tolist() for name, value in segment.items() if name not in places}  # type: ignore[union-attr]


def expected_targets(family: str, stored: list[dict[str, Any]], counts: list[int]) -> dict[str, Any]:
    if family == "classification":
        return {"labels": [example["label"] for example in stored]}
    if family == "commonsense":
        return {"labels": [example["label"] for example in stored], "choices": counts}
    if family == "mrc":
        return {
            "row_example": [number for number, count in enumerate(counts) for _ in range(count)],
            "spans": [span for example in stored for span in example["spans"].tolist()],
            "context": [context for example in stored for context in example["context"].tolist()],
        }
    assert family == "summarization"
    targets = [example["target"].tolist() for example in stored]
    longest = max(map(len, targets))
    return {"target_ids": [target + [IGNORE] * (longest - len(target)) for target in targets]}
