"""The table that ends a conversion: what was read, written and dropped, and how long it became."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.table import Table

from data_prep.notes import notes
from recipe.data.manifest import Manifest


@dataclass(frozen=True)
class Entry:
    """One stream of the store; ``lengths`` (N, 3) as :class:`recipe.data.store.ShardStore` has them."""

    manifest: Manifest
    lengths: NDArray[np.int32]
    already_there: bool


def table_console() -> Console:
    """Standard output for tables: as wide as the terminal, else 160 columns."""
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a log file has no width of its own
    return console


def summarise(entries: Sequence[Entry]) -> Table:
    """A line for each task and split, and the totals. Lengths are of each example's longest row, in tokens."""
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False)
    totals = _totals(entries)
    heads = ("task", "split", "read", "written", "rows", "tokens", "p50", "p95", "max", "notes")
    for head, total in zip(heads, totals, strict=True):
        text = head in ("task", "split", "notes")
        table.add_column(head, total, justify="left" if text else "right", no_wrap=head != "notes")
    for entry in entries:
        manifest = entry.manifest
        remarks = [_dropped(manifest.dropped), "(already there)" if entry.already_there else "", *notes(manifest)]
        table.add_row(
            manifest.task,
            manifest.split,
            *(f"{n:,}" for n in (manifest.read, manifest.written, manifest.rows, manifest.tokens)),
            *_percentiles(entry.lengths),
            "; ".join(remark for remark in remarks if remark),
        )
    return table


def _totals(entries: Sequence[Entry]) -> list[str]:
    manifests = [entry.manifest for entry in entries]
    dropped: Counter[str] = Counter()
    for manifest in manifests:
        dropped.update(manifest.dropped)
    counts = [sum(getattr(m, name) for m in manifests) for name in ("read", "written", "rows", "tokens")]
    tasks = len({manifest.task for manifest in manifests})
    lengths = np.concatenate([entry.lengths for entry in entries])
    return [f"{tasks} tasks", "", *(f"{n:,}" for n in counts), *_percentiles(lengths), _dropped(dropped)]


def _percentiles(lengths: NDArray[np.int32]) -> list[str]:
    longest = lengths[:, 1]
    return [f"{int(np.percentile(longest, q, method='lower')):,}" for q in (50, 95, 100)]


def _dropped(reasons: dict[str, int]) -> str:
    return ", ".join(f"{count:,} dropped: {reason}" for reason, count in sorted(reasons.items()))
