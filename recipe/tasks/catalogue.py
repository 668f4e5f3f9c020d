"""The one place that lists the tasks: what each dataset is as a learning problem, and where its data is.

Everything else asks the catalogue. Facts (labels in the Hub's integer order, configurations, splits) come from the
datasets' cards and loading scripts; the 46 pre-finetuning tasks are those of MUPPET (arXiv 2101.11038, appendix). A
user's own tasks stand beside them in processes where they are registered.
"""

from __future__ import annotations

import difflib
from collections import ChainMap
from functools import cache

from recipe.errors import UserError
from recipe.tasks import classification, commonsense, downstream, mrc, summarization
from recipe.tasks.mixes import MIXES
from recipe.tasks.origin import licensed
from recipe.tasks.task import ACCURACY, Family, Task


class UnknownTask(UserError):
    """A task key that the catalogue does not have."""


class TaskConflict(UserError):
    """A user's task whose key is taken."""


_TASKS = (
    *classification.TASKS,
    *summarization.TASKS,
    *commonsense.TASKS,
    *mrc.TASKS,
    *downstream.TASKS,
)

CATALOGUE: dict[str, Task] = {task.key: task for task in _TASKS}
DIAGNOSTICS: dict[str, Task] = {task.key: task for task in classification.DIAGNOSTICS}
_RESERVED = ChainMap(DIAGNOSTICS, MIXES, CATALOGUE)  # every key that a user's task cannot have
PREFINETUNE_TASKS: tuple[str, ...] = tuple(task.key for task in _TASKS if task.prefinetune)

_registered: dict[str, Task] = {}


def register(task: Task) -> None:
    """Makes a user's task known in this process: from then on it is a task like the catalogue's.

    A configuration that is parsed and a source that is opened register their tasks, so every process that has one of
    them knows the tasks, and a checkpoint, which holds its configuration, brings them along. The same learning problem
    may come again, from a moved file or with other splits; the last one counts.

    Raises:
        TaskConflict: The key is the catalogue's, or that of another learning problem.
    """
    if task.key in _RESERVED:
        raise TaskConflict(f"task {task.key!r} is the catalogue's: give yours another key")
    known = _registered.get(task.key, task)
    for name in ("family", "labels", "choices", "metrics", "score_range", "has_unanswerable", "search"):
        before, now = getattr(known, name), getattr(task, name)
        if before != now:
            raise TaskConflict(
                f"task {task.key!r} is defined twice, with {name} {before} and {now}: give one of them another key"
            )
    _registered[task.key] = task


def registered_tasks() -> dict[str, Task]:
    """The tasks that users described."""
    return dict(_registered)


def known_tasks() -> dict[str, Task]:
    """The catalogue's tasks, then those that were registered."""
    return CATALOGUE | _registered


_TAPT, _DAPT = "tapt_", "dapt_"


def get_task(key: str) -> Task:
    """The entry for ``key``.

    ``tapt_<task>`` is masked language modelling on that task's texts, ``dapt_<name>`` on plain text of one's own
    (task- and domain-adaptive pre-training, arXiv 2004.10964). ``anli_from_<...>`` are ANLI's training mixes. Those and
    the benchmarks' diagnostic sets have keys, but stand in no list of tasks.

    Raises:
        UnknownTask: No such task; the message names the nearest key.
    """
    if key.startswith(_TAPT):
        return _on_texts_of(get_task(key.removeprefix(_TAPT)))
    if key.startswith(_DAPT):
        return _on_plain_text(key)
    task = _RESERVED.get(key) or _registered.get(key)
    if task is None:
        known = [*_RESERVED, *_registered]
        near = difflib.get_close_matches(key, known, n=1)
        own = "describe one of your own in user_tasks"
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}; {own}"
        raise UnknownTask(f"unknown task {key!r}: {hint}")
    return task


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
        stream_of=task.key,
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


__all__ = [
    "CATALOGUE",
    "DIAGNOSTICS",
    "PREFINETUNE_TASKS",
    "Family",
    "Task",
    "TaskConflict",
    "UnknownTask",
    "get_task",
    "known_tasks",
    "register",
    "registered_tasks",
]
