"""What the tasks are, for readers who know none of their names: all from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

from recipe.report.protocol.document import Text, plain
from recipe.tasks import Family, Task

_HUB = "https://huggingface.co/datasets/"
_FEW = 4  # classes that a line has room for


def describe_tasks(tasks: Sequence[Task]) -> Text:
    """A line for each task: what is to be done, how many examples teach it, and where to read about the dataset."""
    return Text("\n".join(f"- **{plain(task.key)}**: {describe_task(task)}." for task in tasks))


def describe_task(task: Task) -> str:
    """One line of Markdown."""
    rows = task.origin.known_rows(task.train_split)
    size = "" if rows is None else f", {rows:,} examples to train on"
    return f"{_work(task)}{size}; {_dataset(task)}"


def _work(task: Task) -> str:
    """What the family's tasks ask."""
    match task.family:
        case Family.CLASSIFICATION:
            few = f" ({', '.join(map(plain, task.labels))})" if len(task.labels) <= _FEW else ""
            return f"which of {len(task.labels)} classes a text, or a pair of texts, belongs to{few}"
        case Family.COMMONSENSE:
            return f"which of {task.choices or 'several'} choices is right"
        case Family.MRC:
            return "where in a text the answer to a question stands"
        case Family.SUMMARIZATION:
            return "the summary of a text"
        case Family.REGRESSION:
            low, high = task.score_range
            return f"a number from {low:g} to {high:g} for a text or a pair of texts"
        case Family.TAGGING:
            return f"a label for each word{f', of {len(task.labels)}' if task.labels else ''}"
        case Family.MASKED_LM:
            return "the hidden words of a text"


def _dataset(task: Task) -> str:
    place = next((place for place in task.origin.places if place.repository), None)
    if place is None:
        parts = ", ".join(map(plain, task.learns_from))
        return f"learned from {parts}" if parts else "data that is not on the Hub"
    config = "" if place.config == "default" else f", {plain(place.config)}"
    return f"dataset [{plain(place.repository)}]({_HUB}{place.repository}){config}"
