"""A whole conversion as the command line runs it: plan, convert what is missing, show progress, sum up."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.convert import Settings, Unit, find_finished, plan_units
from data_prep.summary import Entry, summarise
from data_prep.workers import convert_units
from recipe.data.manifest import LENGTHS, Manifest
from recipe.data.tokenizer import load_tokenizer


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} examples/s")


def run(
    tasks: Sequence[str],
    splits: Sequence[str],
    settings: Settings,
    tokenizer_name: str,
    *,
    workers: int,
    overwrite: bool,
) -> list[Exception]:
    """Convert what is not there yet (everything with ``overwrite``), then print the summary of all that is there.

    Returns:
        The errors of the streams that could not be made.

    Raises:
        UserError: nothing could be converted at all.
    """
    tokenizer = load_tokenizer(tokenizer_name)
    units = plan_units(tasks, splits, settings, tokenizer)
    there = {unit.folder: found for unit in units if not overwrite and (found := find_finished(unit))}
    made: dict[str, Manifest] = {}
    start = time.monotonic()
    errors = _convert([unit for unit in units if unit.folder not in there], settings, tokenizer, workers, made)
    _print_summary(units, there, made, time.monotonic() - start)
    return errors


def _convert(
    units: Sequence[Unit],
    settings: Settings,
    tokenizer: PreTrainedTokenizerFast,
    workers: int,
    made: dict[str, Manifest],
) -> list[Exception]:
    shown = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*shown, console=Console(stderr=True), disable=not units) as progress:
        bar = progress.add_task("converting", total=sum(unit.rows for unit in units))

        def done(unit: Unit, manifest: Manifest) -> None:
            made[unit.folder] = manifest
            progress.console.print(f"{unit.name}: {manifest.written:,} examples", highlight=False)

        return convert_units(units, settings, tokenizer, workers, lambda rows: progress.advance(bar, rows), done)


def _print_summary(
    units: Sequence[Unit], there: dict[str, Manifest], made: dict[str, Manifest], seconds: float
) -> None:
    known = there | made
    entries = [
        Entry(known[unit.folder], np.load(os.path.join(unit.folder, LENGTHS)), unit.folder in there)
        for unit in units
        if unit.folder in known
    ]
    if not entries:
        return
    console = Console()
    if not console.is_terminal:
        console.width = 160  # a log file has no width of its own
    console.print(summarise(entries))
    read = sum(manifest.read for manifest in made.values())
    speed = f": {read:,} examples in {seconds:,.1f} s, {read / max(seconds, 1e-9):,.0f} a second" if made else ""
    root = os.path.dirname(os.path.dirname(units[0].folder))
    counts = f"{root}: {len(made)} streams converted, {len(there)} already there{speed}"
    console.print(counts, highlight=False, soft_wrap=True)
