"""The one place that lists the tasks: what each dataset is as a learning problem, and where its data is.

Everything else asks the catalogue. Facts (labels in the Hub's integer order, configurations, splits) come from the
datasets' cards and loading scripts; the 46 pre-finetuning tasks are those of MUPPET (arXiv 2101.11038, appendix).
"""

from __future__ import annotations

import difflib

from recipe.errors import UserError
from recipe.tasks import classification, commonsense, downstream, mrc, summarization
from recipe.tasks.task import Family, Task


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


def get_task(key: str) -> Task:
    """The catalogue's entry for ``key``.

    Raises:
        UnknownTask: No such task; the message names the nearest key.
    """
    if key not in CATALOGUE:
        near = difflib.get_close_matches(key, CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(CATALOGUE)}"
        raise UnknownTask(f"unknown task {key!r}: {hint}")
    return CATALOGUE[key]


__all__ = ["CATALOGUE", "PREFINETUNE_TASKS", "Family", "Task", "UnknownTask", "get_task"]
