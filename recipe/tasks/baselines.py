"""What a system without learning scores, by the very metrics that score the model.

One baseline a family: the commonest class, a random choice, a random span of the context, the beginning of the
document, one score for all, the commonest tag. A task that does not beat it has learned nothing.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from recipe.tasks.catalogue import Family, Task
from recipe.tasks.metrics import build_metrics
from recipe.tasks.trees import read_trees, tree_to_labels

SPAN_WORDS = 3  # about the length of a SQuAD answer


def baseline(task: Task, references: Sequence[Any], inputs: Sequence[Any] = ()) -> tuple[str, dict[str, float]]:
    """The task's baseline: its name and its score by metric.

    Args:
        task: Its family decides the baseline, its metrics the scores.
        references: One an example, as :mod:`recipe.tasks.metrics` takes them.
        inputs: What the baseline looks at, one an example: number of choices (commonsense), context (mrc) or document
            (summarization); nothing for the other families.

    Raises:
        ValueError: There are no examples, or ``inputs`` is not one an example.
    """
    if not references:
        raise ValueError(f"task {task.key!r}: no evaluation examples; convert its validation split")
    if task.family is Family.CLASSIFICATION:
        return "constant class", best_constant_class(task, references)
    if task.family is Family.REGRESSION:
        return "constant score", score(task, [0.0] * len(references), references)
    if task.family is Family.TAGGING:
        return "commonest tag", score(task, commonest_tags(references), references)
    if task.family is Family.MASKED_LM:
        ((commonest, _),) = Counter(token for own in references for token in own).most_common(1)
        return "commonest token", score(task, [[commonest] * len(own) for own in references], references)
    if len(inputs) != len(references):
        raise ValueError(
            f"task {task.key!r}: {len(inputs)} baseline inputs but {len(references)} references; give one an example"
        )
    if task.family is Family.COMMONSENSE:
        return "random choice", {"accuracy": random_choice_accuracy(inputs)}
    if task.family is Family.MRC:
        return "random span", score(task, random_spans(inputs), references)
    return "lead", score(task, leads(inputs, references), references)


def best_constant_class(task: Task, references: Sequence[int]) -> dict[str, float]:
    """The scores of the one class that, answered always, does best by the primary metric.

    By accuracy that is the majority class. By F1 it is the positive class, where the majority class would score 0 and
    make any other answer look good.
    """
    scores = [score(task, [label] * len(references), references) for label in range(len(task.labels))]
    return max(scores, key=lambda metrics: metrics[task.primary_metric])


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


def commonest_tags(references: Sequence[list[str] | str]) -> list[list[str]]:
    """The tag that most words have, for every word; of bracketed trees their labels are the tags."""
    tags = [tree_to_labels(*read_trees(own)) if isinstance(own, str) else own for own in references]
    ((commonest, _),) = Counter(tag for own in tags for tag in own).most_common(1)
    return [[commonest] * len(own) for own in tags]


def score(task: Task, predictions: list[Any], references: Sequence[Any]) -> dict[str, float]:
    """Every metric of ``task`` on the predictions."""
    metrics = build_metrics(task)
    for metric in metrics.values():
        metric.sync_on_compute = False  # all examples are here: summing over ranks would need every rank, on its device
        metric.update(predictions, references)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def _span(words: list[str], generator: random.Random) -> str:
    start = generator.randint(0, max(len(words) - SPAN_WORDS, 0))
    return " ".join(words[start : start + SPAN_WORDS])
