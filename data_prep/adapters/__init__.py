"""Adapters: what turns each dataset's raw rows into examples, one module a family, one entry a task.

A user's own tasks have one adapter a family: their files' columns come under the names of our fields.
"""

from __future__ import annotations

from data_prep.adapters import classification, commonsense, mrc, regression, summarization, tagging, user
from data_prep.adapters.adapter import PLACE, SOURCE_SPLIT, Adapter
from recipe.errors import UserError
from recipe.tasks import CATALOGUE, get_task

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
        NoAdapter: The task has no adapter yet; the message names those that have.
    """
    task = get_task(key)
    if key not in CATALOGUE:
        return user.ADAPTERS[task.family](task)
    if key not in ADAPTERS:
        raise NoAdapter(
            f"task {key!r} has no adapter: add one to the table of its family in data_prep/adapters; "
            f"tasks with one: {', '.join(ADAPTERS)}"
        )
    return ADAPTERS[key]


__all__ = ["ADAPTERS", "PLACE", "SOURCE_SPLIT", "Adapter", "NoAdapter", "get_adapter"]
