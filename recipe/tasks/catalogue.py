"""The one place that lists the tasks: what each dataset is as a learning problem, and where its data is.

Everything else asks the catalogue. Facts (labels in the Hub's integer order, configurations, splits) come from the
datasets' cards and loading scripts; the 46 pre-finetuning tasks are those of MUPPET (arXiv 2101.11038, appendix).
"""

from __future__ import annotations

import difflib
from functools import cache

from recipe.errors import UserError
from recipe.tasks import classification, commonsense, downstream, mrc, summarization
from recipe.tasks.origin import licensed
from recipe.tasks.task import ACCURACY, Family, Task


class UnknownTask(UserError):
    """A task key that the catalogue does not have."""


_TASKS = (
    *classification.TASKS,
    *summarization.TASKS,
    *commonsense.TASKS,
    *mrc.TASKS,
    *downstream.TASKS,
)

CATALOGUE: dict[str, Task] = {task.key: task for task in _TASKS}
PREFINETUNE_TASKS: tuple[str, ...] = tuple(task.key for task in _TASKS if task.prefinetune)


_TAPT, _DAPT = "tapt_", "dapt_"


def get_task(key: str) -> Task:
    """The catalogue's entry for ``key``.

    ``tapt_<task>`` is masked language modelling on that task's texts, ``dapt_<name>`` on plain text of one's own
    (task- and domain-adaptive pre-training, arXiv 2004.10964).

    Raises:
        UnknownTask: No such task; the message names the nearest key.
    """
    if key.startswith(_TAPT):
        return _on_texts_of(get_task(key.removeprefix(_TAPT)))
    if key.startswith(_DAPT):
        return _on_plain_text(key)
    if key not in CATALOGUE:
        near = difflib.get_close_matches(key, CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(CATALOGUE)}"
        raise UnknownTask(f"unknown task {key!r}: {hint}")
    return CATALOGUE[key]


@cache
def _on_texts_of(task: Task) -> Task:
    return Task(
        f"{_TAPT}{task.key}",
        Family.MASKED_LM,
        task.origin,
        ACCURACY,
        train_split=task.train_split,
        evaluation_splits=task.evaluation_splits,
        prefinetune=False,
        text_of=task.key,
    )


@cache
def _on_plain_text(key: str) -> Task:
    return Task(
        key,
        Family.MASKED_LM,
        licensed("your own"),
        ACCURACY,
        train_split="train#train",
        evaluation_splits=("train#validation",),
        prefinetune=False,
    )


__all__ = ["CATALOGUE", "PREFINETUNE_TASKS", "Family", "Task", "UnknownTask", "get_task"]
