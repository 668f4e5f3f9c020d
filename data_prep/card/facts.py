"""What a data card says, collected from the manifests, the lengths and the examples' targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.labels import target_of
from data_prep.streams import Stream, read_shard
from recipe.data.manifest import Manifest
from recipe.data.stream_files import read_stream_files
from recipe.tasks.catalogue import PREFINETUNE_TASKS, Family, Task, get_task


@dataclass(frozen=True)
class PaperRow:
    """One row of Table 1 of the paper (arXiv 2101.11038): datasets and training examples of a family."""

    name: str
    family: Family | None  # None: the total
    datasets: int
    examples: str


PAPER_TABLE = (
    PaperRow("Classification", Family.CLASSIFICATION, 26, "2.9M"),
    PaperRow("CommonSense", Family.COMMONSENSE, 10, "360K"),
    PaperRow("MRC", Family.MRC, 6, "1.05M"),
    PaperRow("Summarization", Family.SUMMARIZATION, 4, "524K"),
    PaperRow("Total", None, 46, "4.83M"),
)


@dataclass(frozen=True)
class StreamFacts:
    """One stream.

    Attributes:
        lengths: (N, 3) int32: rows, tokens of the longest row, target tokens of each example.
        targets: Examples of each class; empty where there are none to count.
    """

    stream: Stream
    manifest: Manifest
    lengths: NDArray[np.int32]
    targets: Counter[str]

    @property
    def task(self) -> Task:
        return get_task(self.stream.task)

    def length(self, percentile: int) -> int:
        """Tokens of the longest row of an example, at a percentile of the examples."""
        return int(np.percentile(self.lengths[:, 1], percentile, method="lower"))


def collect(stream: Stream, advance: Callable[[float], None]) -> StreamFacts:
    """Read one stream from end to end.

    Args:
        advance: Told which further share of the stream was read.

    Raises:
        StoreError: It is damaged.
    """
    files = read_stream_files(stream.folder, stream.fix)
    task, targets = get_task(stream.task), Counter()
    for shard in files.shards if task.family is not Family.SUMMARIZATION else ():
        targets.update(target for sample in read_shard(stream, shard) if (target := target_of(sample, task)))
        advance(shard["samples"] / files.manifest.written)
    return StreamFacts(stream, files.manifest, files.lengths, targets)


def count_as_paper(facts: list[StreamFacts], row: PaperRow) -> tuple[int, int]:
    """Datasets and training examples of the store that belong into a row of the paper's table.

    The paper counts COPA as classification; we learn it as multiple choice.
    """
    chosen = [
        one.manifest.written
        for one in facts
        if one.stream.split == "train"
        and one.stream.task in PREFINETUNE_TASKS
        and row.family in (None, Family.CLASSIFICATION if one.stream.task == "copa" else one.task.family)
    ]
    return len(chosen), sum(chosen)
