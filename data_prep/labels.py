"""How the targets of a stream are distributed."""

from __future__ import annotations

from collections import Counter

import numpy as np

from data_prep.streams import Sample
from recipe.data.manifest import WITHHELD
from recipe.tasks.catalogue import Family, Task

WITHHELD_TARGET = "label withheld"
_MOST = 0.99  # a class with a larger share leaves next to nothing to learn


def target_of(sample: Sample, task: Task) -> str | None:
    """What the example is counted under: its class, its right choice's number, whether a span answers it."""
    if not has_target(sample, task):
        return WITHHELD_TARGET
    if task.family is Family.CLASSIFICATION:
        return task.labels[sample["label"]]
    if task.family is Family.COMMONSENSE:
        return f"choice {sample['label'] + 1}"
    if task.family is Family.MRC:
        return "answered" if sample["spans"].any() else "no answer"
    return None


def has_target(sample: Sample, task: Task) -> bool:
    """Whether a stored example has what it is to be scored by: test splits may withhold it."""
    if "label" in sample:
        return sample["label"] != WITHHELD
    if task.family is Family.MRC:
        return sample.get("reference", {"answers": ()})["answers"] is not None
    return task.family is not Family.REGRESSION or not np.isnan(sample["score"])


def balance(counts: Counter[str]) -> str:
    """``entailment 50.1 %, neutral 49.9 %``, the most frequent first; empty without targets to count."""
    total = sum(counts.values())
    return ", ".join(f"{name} {100 * count / total:.1f} %" for name, count in counts.most_common())


def imbalance(task: Task, counts: Counter[str]) -> list[str]:
    """What is suspicious about a distribution: a class that is missing, or next to nothing but one class."""
    if task.family not in (Family.CLASSIFICATION, Family.COMMONSENSE):
        return []
    if counts[WITHHELD_TARGET]:
        return []
    expected = task.labels or tuple(f"choice {number + 1}" for number in range(task.choices or 0))
    problems = [f"no example of {name}" for name in expected if not counts[name]]
    name, count = counts.most_common(1)[0]
    share = count / sum(counts.values())
    return problems + ([f"{share:.1%} of the examples are {name}"] if share > _MOST else [])
