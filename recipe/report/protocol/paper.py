"""The paper's own numbers (``paper.json``), to stand beside ours and never to be mistaken for them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_NUMBERS = Path(__file__).with_name("paper.json")


@dataclass(frozen=True)
class PaperColumn:
    """A dataset of a paper's table.

    Attributes:
        name: As printed.
        task: Key of our task.
        metrics: The printed numbers' names in our results, in their order.
    """

    name: str
    task: str
    metrics: Sequence[str]


@dataclass(frozen=True)
class PaperRow:
    """A model of a paper's table and its cells as printed, empty where there is none."""

    label: str
    cells: Sequence[str]


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables.

    Attributes:
        number: In the paper.
        title: What it is about, in our words.
        note: What a reader must know of its numbers.
        columns: Its datasets.
        rows: Its models, each with a cell for every column.
        training: Where one dataset is scored after training on several, each a row: what was trained on, as printed,
            and the key of our task that learns from it.
    """

    number: int
    title: str
    note: str
    columns: Sequence[PaperColumn]
    rows: Sequence[PaperRow]
    training: Mapping[str, str] = field(default_factory=dict)

    @property
    def tasks(self) -> set[str]:
        """Keys of our tasks whose scores have a place in it."""
        return {column.task for column in self.columns} | set(self.training.values())


def paper_tables() -> list[PaperTable]:
    """Tables 3 to 6 of MUPPET (arXiv 2101.11038), transcribed exactly."""
    return [
        PaperTable(
            table["number"],
            table["title"],
            table["note"],
            [PaperColumn(**column) for column in table["columns"]],
            [PaperRow(**row) for row in table["rows"]],
            table.get("training", {}),
        )
        for table in json.loads(_NUMBERS.read_text(encoding="utf-8"))["tables"]
    ]


def paper_source() -> str:
    """Where the numbers are from, to be cited."""
    return json.loads(_NUMBERS.read_text(encoding="utf-8"))["source"]
