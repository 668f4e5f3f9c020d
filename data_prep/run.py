"""A whole conversion as the command line runs it: plan, convert what is missing, show progress, sum up."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from data_prep.convert import ConversionError, Settings, Unit, plan_units
from data_prep.finish import find_finished
from data_prep.summary import Entry, summarise, table_console
from data_prep.workers import convert_units
from recipe.data.manifest import LENGTHS, Manifest
from recipe.data.tokenizer import load_tokenizer
from recipe.errors import UserError


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:,.0f} examples/s")


_SHOWN = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())


def run(
    tasks: Sequence[str],
    splits: Sequence[str],
    settings: Settings,
    tokenizer_name: str,
    *,
    workers: int,
    scheduler: str | None = None,
    overwrite: bool = False,
) -> list[UserError]:
    """Convert what is not there yet (everything with ``overwrite``), then print the summary of all that is there.

    Returns:
        The errors of the streams that could not be made.

    Raises:
        UserError: nothing could be converted at all.
    """
    tokenizer = load_tokenizer(tokenizer_name)
    units = plan_units(tasks, splits, settings, tokenizer)
    if not units:
        raise ConversionError(f"--splits {','.join(splits)}: none of {', '.join(tasks)} has that split in the source")
    planned = {unit.name for unit in units}
    if lacking := [name for task in tasks for split in splits if (name := f"{task}/{split}") not in planned]:
        Console(stderr=True).print(f"not in the source: {', '.join(lacking)}", highlight=False)
    there = {unit.place: found for unit in units if not overwrite and (found := find_finished(unit))}
    missing = [unit for unit in units if unit.place not in there]
    made: dict[str, Manifest] = {}
    start = time.monotonic()
    with (
        _connect(scheduler) as cluster,
        Progress(*_SHOWN, console=Console(stderr=True), disable=not missing) as progress,
    ):
        bar = progress.add_task("converting", total=sum(unit.rows for unit in missing))

        def report(rows: int) -> None:
            progress.advance(bar, rows)

        def done(unit: Unit, manifest: Manifest) -> None:
            made[unit.place] = manifest
            progress.console.print(f"{unit.name}: {manifest.written:,} examples", highlight=False)

        errors = convert_units(
            missing, settings, tokenizer, workers, report, done, cluster=cluster, overwrite=overwrite
        )
    _print_summary(units, there, made, time.monotonic() - start)
    return errors


def _connect(scheduler: str | None) -> AbstractContextManager[Any]:
    if scheduler is None:
        return nullcontext()
    try:
        from data_prep.cluster import connect
    except ImportError as error:
        raise ConversionError(
            f"--scheduler {scheduler}: Dask is not installed ({error}); pip install -e '.[dask]'"
        ) from error
    return connect(scheduler)


def _print_summary(
    units: Sequence[Unit], there: dict[str, Manifest], made: dict[str, Manifest], seconds: float
) -> None:
    known = there | made
    entries = [
        Entry(known[unit.place], np.load(io.BytesIO(lengths), allow_pickle=False), unit.place in there)
        for unit in units
        if unit.place in known and (lengths := unit.open().read_published(LENGTHS))
    ]
    if not entries:
        return
    console = table_console()
    console.print(summarise(entries))
    read = sum(manifest.read for manifest in made.values())
    speed = f": {read:,} examples in {seconds:,.1f} s, {read / max(seconds, 1e-9):,.0f} a second" if made else ""
    root = units[0].place.removesuffix(f"/{units[0].name}")
    counts = f"{root}: {len(made)} streams converted, {len(there)} already there{speed}"
    console.print(counts, highlight=False, soft_wrap=True)
