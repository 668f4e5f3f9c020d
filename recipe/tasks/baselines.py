"""What a system without learning scores, by the very metrics that score the model.

One baseline a family: the training set's commonest class, a random choice, a random span of the context, the
beginning of the document. A task that does not beat it has learned nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from recipe.tasks.catalogue import Family, Task
from recipe.tasks.metrics import build_metrics

SPAN_WORDS = 3  # about the length of a SQuAD answer


def baseline(
    task: Task,
    references: Sequence[Any],
    *,
    train_labels: Sequence[int] = (),
    choices: Sequence[int] = (),
    contexts: Sequence[str] = (),
    documents: Sequence[str] = (),
) -> tuple[str, dict[str, float]]:
    """The task's baseline: its name and its score by metric.

    Args:
        task: Its family decides the baseline, its metrics the scores.
        references: One an example, as :mod:`recipe.tasks.metrics` takes them.
        train_labels: The training examples' classes (classification).
        choices: Each example's number of choices (commonsense).
        contexts: Each example's context (mrc).
        documents: Each example's document (summarization).

    Raises:
        ValueError: What the family's baseline needs is missing or not one an example, or it has no baseline.
    """
    if task.family is Family.CLASSIFICATION:
        _require(task, "train_labels", len(train_labels) > 0, "the training examples' classes")
        return "majority class", score(task, majority_class(train_labels, len(references)), references)
    if task.family is Family.COMMONSENSE:
        _require(task, "choices", 0 < len(choices) == len(references), "the number of choices, one an example")
        return "random choice", {"accuracy": random_choice_accuracy(choices)}
    if task.family is Family.MRC:
        _require(task, "contexts", len(contexts) == len(references), "the context, one an example")
        return "random span", score(task, random_spans(contexts), references)
    if task.family is Family.SUMMARIZATION:
        _require(task, "documents", len(documents) == len(references), "the document, one an example")
        return "lead", score(task, leads(documents, references), references)
    raise ValueError(f"task {task.key!r}: family {task.family.value!r} has no baseline")


def majority_class(train_labels: Sequence[int], examples: int) -> list[int]:
    """The commonest class of the training set for every example, the smallest one on a tie."""
    counts = Counter(train_labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * examples


def random_choice_accuracy(choices: Sequence[int]) -> float:
    """The expected accuracy of a uniformly drawn choice: mean of 1 / (number of choices)."""
    return sum(1 / n for n in choices) / len(choices)


def random_spans(contexts: Sequence[str], seed: int = 0) -> list[str]:
    """From each context :data:`SPAN_WORDS` successive words at a uniformly drawn place, the same for the same seed."""
    generator = random.Random(seed)
    return [_span(context.split(), generator) for context in contexts]


def leads(documents: Sequence[str], references: Sequence[str]) -> list[str]:
    """The first words of each document, as many as a reference summary has on average."""
    words = round(sum(len(reference.split()) for reference in references) / max(len(references), 1))
    return [" ".join(document.split()[:words]) for document in documents]


def score(task: Task, predictions: list[Any], references: Sequence[Any]) -> dict[str, float]:
    """Every metric of ``task`` on the predictions."""
    metrics = build_metrics(task)
    for metric in metrics.values():
        metric.update(predictions, references)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def _span(words: list[str], generator: random.Random) -> str:
    start = generator.randint(0, max(len(words) - SPAN_WORDS, 0))
    return " ".join(words[start : start + SPAN_WORDS])


def _require(task: Task, argument: str, given: bool, meaning: str) -> None:
    if not given:
        raise ValueError(f"task {task.key!r}: the {task.family.value} baseline needs {argument}: {meaning}")
