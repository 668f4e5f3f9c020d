"""The label space of a task: the catalogue's, or what the training split holds."""

from __future__ import annotations

from data_prep.adapters import get_adapter
from data_prep.examples import TaggingExample, Unusable
from data_prep.sources import Source
from recipe.tasks import Task


def label_space(source: Source, task: Task) -> tuple[str, ...]:
    """The task's class names by number.

    Names that the catalogue leaves open are collected from the whole training split, also for the validation split and
    with a limit, and sorted: equal data gives equal numbers.

    Raises:
        SourceError: They are open, and the source has no training split.
        InvalidData: The source contradicts the dataset's schema.
    """
    if not task.has_open_labels:
        return task.labels
    adapter = get_adapter(task.key)
    tags: set[str] = set()
    for rows in source.read(task.key, task.train_split, adapter.columns):
        for row in rows:
            try:
                example = adapter.convert(row)
            except Unusable:
                continue
            assert isinstance(example, TaggingExample)
            tags.update(example.tags)
    return tuple(sorted(tags))
