"""Fine-tuning runs that nobody ran: seeded predictions of a wanted quality, scored by the tasks' own metrics."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from recipe.protocol.comparison import Comparison, Run, Start
from recipe.protocol.result import FinetuneResult, Predictions
from recipe.tasks import Family, Task, get_task
from recipe.tasks.metrics import build_metrics

PLAIN = Start("MiniLM", "sentence-transformers/all-MiniLM-L6-v2", reference=True, tasks=0)


def fake_run(task: Task, start: str, seed: int, quality: float, examples: int = 200, fraction: float = 1.0) -> Run:
    """A run that is right on about a ``quality`` of the examples, the hard ones being the same for every start."""
    predictions = fake_predictions(task, f"{start}-{seed}-{fraction}", quality, examples)
    scores: dict[str, float] = {}
    for name, metric in build_metrics(task).items():
        metric.update(predictions.predictions, predictions.references)
        scores[name] = float(metric.compute())
    final = scores[task.primary_metric]
    rng = random.Random(f"curve-{start}-{seed}")
    result = FinetuneResult(
        task=task.key,
        family=task.family.value,
        start=start,
        seed=seed,
        fraction=fraction,
        primary=task.primary_metric,
        scores=scores,
        examples=examples,
        hyperparameters={"lr": 3e-5, "eps": 1e-6, "dropout": None},
        reused_head=start != PLAIN.label,
        steps=400,
        trained_examples=int(12_800 * fraction),
        trained_tokens=int(700_000 * fraction),
        seconds=95.0,
        curve=[(step, final * (1 - 0.4 * math.exp(-step / 120)) + rng.gauss(0, 0.004)) for step in range(0, 401, 50)],
    )
    return Run(result, predictions, start)


def fake_predictions(task: Task, name: str, quality: float, examples: int) -> Predictions:
    """Right where an example's difficulty and a little luck let it."""
    truth, luck = random.Random(f"truth-{task.key}"), random.Random(f"{task.key}-{name}")
    predictions: list[Any] = []
    references: list[Any] = []
    for _ in range(examples):
        right, wrong, reference = _target(task, truth)
        difficulty = truth.random()
        predictions.append(right if difficulty + luck.gauss(0, 0.15) < quality else wrong)
        references.append(reference)
    return Predictions(predictions, references)


def fake_comparison(
    keys: Sequence[str],
    starts: Sequence[Start],
    quality: Callable[[str, Start, float], float],
    seeds: Sequence[int] = (1, 2, 3),
    fractions: Sequence[float] = (1.0,),
    examples: int = 200,
) -> Comparison:
    """Every task from every start with every seed, as good as ``quality(task, start, fraction)``."""
    tasks = [get_task(key) for key in keys]
    runs = [
        fake_run(task, start.label, seed, quality(task.key, start, fraction), examples, fraction)
        for task in tasks
        for start in starts
        for fraction in fractions
        for seed in seeds
    ]
    return Comparison(
        "Does pre-finetuning help MiniLM?", tasks, starts, runs, "search:\n  lr: [1e-5, 3e-5]\n", "make eval"
    )


def without(comparison: Comparison, task: str, start: str, seed: int | None = None) -> Comparison:
    """The comparison without a cell, or without a seed of it."""
    kept = [
        run
        for run in comparison.runs
        if (run.result.task, run.start) != (task, start) or (seed is not None and run.result.seed != seed)
    ]
    return replace(comparison, runs=kept)


def _target(task: Task, rng: random.Random) -> tuple[Any, Any, Any]:
    """A right prediction, a wrong one and the reference."""
    if task.family in (Family.MRC, Family.SUMMARIZATION):
        words = rng.sample(["north", "river", "seven", "bridge", "glass", "winter"], 3)
        right, wrong = " ".join(words[:2]), " ".join(words[1:])
        return right, wrong, [right] if task.family is Family.MRC else right
    classes = len(task.labels) or task.choices or 2
    right = rng.randrange(classes)
    reference = (right, rng.choice(["matched", "mismatched"])) if task.grouped else right
    return right, (right + 1) % classes, reference
