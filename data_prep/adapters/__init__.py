"""Adapters: what turns each dataset's raw rows into examples, one module a family, one entry a task.

A user's own tasks have one adapter a family: their files' columns come under the names of our fields.
"""

from __future__ import annotations

from data_prep.adapters import classification, commonsense, mrc, regression, summarization, tagging, user
from data_prep.adapters.adapter import PLACE, SOURCE_SPLIT, Adapter
from data_prep.adapters.plain_text import PLAIN_TEXT
from recipe.errors import UserError
from recipe.tasks import Family, get_task
from recipe.tasks.catalogue import registered_tasks

ADAPTERS: dict[str, Adapter] = {
    key: adapter_for(get_task(key))
    for family in (classification, commonsense, mrc, summarization, regression, tagging)
    for key, adapter_for in family.TABLE.items()
}


class NoAdapter(UserError):
    """A task that has no adapter: its raw data cannot be converted."""


def get_adapter(key: str) -> Adapter:
    """The adapter of the task ``key``.

    Raises:
        UnknownTask: There is no such task.
        NoAdapter: The task has no adapter yet, or no data of its own; the message says what to do.
    """
    task = get_task(key)
    if task.stream_of:
        own = ",".join(dict.fromkeys(task.streams("train") + task.streams("validation")))
        raise NoAdapter(f"task {key!r} has no data of its own: convert what it reads, --tasks {own}")
    if task.family is Family.MASKED_LM:
        return PLAIN_TEXT
    if key in classification.DIAGNOSTICS:
        return classification.DIAGNOSTICS[key](task)
    if key in registered_tasks():
        return user.ADAPTERS[task.family](task)
    if key not in ADAPTERS:
        raise NoAdapter(
            f"task {key!r} has no adapter: add one to the table of its family in data_prep/adapters; "
            f"tasks with one: {', '.join(ADAPTERS)}"
        )
    return ADAPTERS[key]


__all__ = ["ADAPTERS", "PLACE", "SOURCE_SPLIT", "Adapter", "NoAdapter", "get_adapter"]
