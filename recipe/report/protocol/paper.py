"""The paper's own numbers (``paper.json``), to stand beside ours and never to be mistaken for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
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
    """

    number: int
    title: str
    note: str
    columns: Sequence[PaperColumn]
    rows: Sequence[PaperRow]


def paper_tables() -> list[PaperTable]:
    """Tables 3 to 6 of MUPPET (arXiv 2101.11038), transcribed exactly."""
    return [
        PaperTable(
            table["number"],
            table["title"],
            table["note"],
            [PaperColumn(**column) for column in table["columns"]],
            [PaperRow(**row) for row in table["rows"]],
        )
        for table in json.loads(_NUMBERS.read_text(encoding="utf-8"))["tables"]
    ]


def paper_source() -> str:
    """Where the numbers are from, to be cited."""
    return json.loads(_NUMBERS.read_text(encoding="utf-8"))["source"]
