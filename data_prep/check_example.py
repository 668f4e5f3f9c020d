"""Whether a stored example is one that its task, its tokenizer and its stream's limits allow."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

import numpy as np

from data_prep.labels import has_target
from data_prep.streams import Sample
from recipe.data.manifest import Manifest, columns, token_dtype
from recipe.tasks.catalogue import Family, Task


@dataclass(frozen=True)
class Bounds:
    """What the examples of one stream must keep to.

    Attributes:
        columns: Names of the columns of each.
        vocabulary: One more than the largest token id.
        labels: Number of classes (classification and tagging).
        withheld: Whether targets may be missing.
        max_length: Most tokens of a row; ``max_target_length`` of a target.
    """

    columns: Set[str]
    vocabulary: int
    labels: int
    max_length: int
    max_target_length: int
    withheld: bool

    @classmethod
    def of(cls, manifest: Manifest, vocabulary: int) -> Bounds:
        names = columns(Family(manifest.family), manifest.split, token_dtype(vocabulary)).keys()
        lengths = manifest.max_length, manifest.max_target_length
        return cls(names, vocabulary, len(manifest.labels), *lengths, withheld=manifest.split == "test")


def measure(sample: Sample) -> tuple[int, int, int, int]:
    """Rows, tokens of the longest row, target tokens, and tokens of all rows and the target together."""
    target = len(sample["target"]) if "target" in sample else 0
    lengths = sample["row_lengths"]
    return len(lengths), int(lengths.max()), target, len(sample["tokens"]) + target


def find_problem(sample: Sample, task: Task, bounds: Bounds) -> str | None:
    """What is wrong with an example, or None."""
    if sample.keys() != bounds.columns:
        return f"has the columns {', '.join(sorted(sample))}, expected {', '.join(sorted(bounds.columns))}"
    tokens, lengths, second = sample["tokens"], sample["row_lengths"], sample["second"]
    if lengths.min() < 1 or lengths.sum() != len(tokens):
        return f"{len(tokens)} tokens in rows of {lengths.tolist()}"
    if lengths.max() > bounds.max_length:
        return f"a row of {lengths.max()} tokens, at most {bounds.max_length} are allowed"
    if tokens.max() >= bounds.vocabulary:
        return f"token id {tokens.max()}, the vocabulary has {bounds.vocabulary}"
    if second.shape != lengths.shape or (second < 0).any() or (second > lengths).any():
        return f"second texts start at {second.tolist()} in rows of {lengths.tolist()}"
    return _find_target_problem(sample, task, bounds)


def _find_target_problem(sample: Sample, task: Task, bounds: Bounds) -> str | None:
    if bounds.withheld and not has_target(sample, task):
        return None
    if task.family is Family.CLASSIFICATION and not 0 <= sample["label"] < bounds.labels:
        return f"label {sample['label']}, the task has {bounds.labels} classes"
    if task.family is Family.COMMONSENSE and not 0 <= sample["label"] < len(sample["row_lengths"]):
        return f"label {sample['label']} of {len(sample['row_lengths'])} choices"
    if task.family is Family.SUMMARIZATION:
        target = sample["target"]
        if not 0 < len(target) <= bounds.max_target_length or target.max() >= bounds.vocabulary:
            return f"a target of {len(target)} tokens up to id {target.max(initial=0)}"
    if task.family is Family.REGRESSION and not task.score_range[0] <= sample["score"] <= task.score_range[1]:
        return f"score {sample['score']}, the task has {task.score_range[0]:g} to {task.score_range[1]:g}"
    if task.family is Family.TAGGING:
        return _find_tag_problem(sample, bounds)
    return _find_span_problem(sample) if task.family is Family.MRC else None


def _find_tag_problem(sample: Sample, bounds: Bounds) -> str | None:
    words, labels = sample["words"], sample["labels"]
    if not words.ndim == 1 == len(sample["row_lengths"]) or words.shape != labels.shape or not len(words):
        return f"{len(sample['row_lengths'])} rows with words of shape {words.shape} and labels of shape {labels.shape}"
    if words[0] < 0 or (np.diff(words) < 1).any() or words[-1] >= sample["row_lengths"][0]:
        return f"words at {words.tolist()} in a row of {sample['row_lengths'][0]}"
    if labels.min() < -1 or labels.max() >= bounds.labels:
        return f"labels from {labels.min()} to {labels.max()}, the task has {bounds.labels} classes"
    return None


def _find_span_problem(sample: Sample) -> str | None:
    lengths, context, spans = sample["row_lengths"], sample["context"], sample["spans"]
    if not context.shape == spans.shape == (len(lengths), 2):
        return f"{len(lengths)} windows with contexts of shape {context.shape} and spans of shape {spans.shape}"
    start, stop = context.T
    if (start < 0).any() or (start >= stop).any() or (stop > lengths).any():
        return f"contexts {context.tolist()} in windows of {lengths.tolist()}"
    first, last = spans.T
    inside = (start <= first) & (first <= last) & (last < stop)
    if not (inside | ~spans.any(axis=1)).all():
        return f"spans {spans.tolist()} outside the contexts {context.tolist()}"
    if "offsets" in sample and sample["offsets"].shape != (len(sample["tokens"]), 2):
        return f"offsets of shape {sample['offsets'].shape} for {len(sample['tokens'])} tokens"
    return None
