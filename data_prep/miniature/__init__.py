"""The miniature: generated examples of every dataset in its own raw schema, for demos and tests without a download.

Texts are made up, columns, nesting, label numbers and traps are the Hub's, so that the same adapters read them. The
signals (:mod:`data_prep.miniature.words`) are lexical and shared by the tasks of a kind: a tiny model learns them in
minutes. Scores on the miniature say that training works, nothing about language.
"""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pyarrow as pa

from data_prep.miniature import classification, commonsense, mrc, regression, summarization, tagging
from data_prep.miniature.sentences import Draw, Miniature
from recipe.tasks import get_task, source_splits

MINIATURES: dict[str, Miniature] = (
    classification.TABLE | commonsense.TABLE | mrc.TABLE | summarization.TABLE | regression.TABLE | tagging.TABLE
)

# A row's content without these decides its split: one content in five is for evaluation, so no text is in both.
_IDENTIFIERS = {
    "id", "idx", "ind", "example_id", "question_id", "query_id", "section_id", "promptID", "pairID", "video-id",
    "fold-ind", "source_id", "split", "uid", "cid", "url",
}  # fmt: skip
_EVALUATION_SHARE = 5


def generate(task_key: str, split: str, count: int | None = None) -> pa.Table:
    """Rows of one split in the dataset's raw schema: the same rows in every run, and none for both uses.

    Args:
        task_key: A task of the catalogue.
        split: A split of the source's own that the task trains on, or that its first evaluation split is made of.
        count: Number of rows; None for :func:`default_count`. Fewer rows are the first of more.

    Raises:
        UnknownTask: The catalogue has no such task.
        ValueError: The miniature has no such task or split.
    """
    miniature, evaluation = _find(task_key, split)
    rng = random.Random(_number(f"{task_key}/{split}"))
    rows: list[dict[str, Any]] = []
    seen: set[int] = set()
    wanted = default_count(task_key, split) if count is None else count
    while len(rows) < wanted:
        row = miniature.draw(Draw(rng, len(rows), evaluation))
        content = _number(json.dumps({k: v for k, v in row.items() if k not in _IDENTIFIERS}, sort_keys=True))
        if content not in seen and (content % _EVALUATION_SHARE == 0) == evaluation:
            seen.add(content)
            rows.append(row)
    return pa.Table.from_pylist(rows, schema=miniature.features.arrow_schema)


def default_count(task_key: str, split: str) -> int:
    """Rows of a split in the demo: uneven from task to task, as in nature. Raises as :func:`generate` does."""
    miniature, evaluation = _find(task_key, split)
    return miniature.evaluation if evaluation else miniature.train


def _find(task_key: str, split: str) -> tuple[Miniature, bool]:
    """The task's miniature, and whether the split is its evaluation split."""
    task = get_task(task_key)
    training = source_splits(task.train_split)
    splits = tuple(dict.fromkeys(training + source_splits(task.evaluation_splits[0])))
    if task_key not in MINIATURES:
        raise ValueError(f"task {task_key!r} has no miniature: tasks with one: {', '.join(MINIATURES)}")
    if split not in splits:
        raise ValueError(
            f"task {task_key!r} has no split {split!r} in the miniature: expected one of {', '.join(splits)}"
        )
    return MINIATURES[task_key], split not in training


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


__all__ = ["MINIATURES", "default_count", "generate"]
