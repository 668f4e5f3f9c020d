"""How long a run will be, before it is begun."""

from __future__ import annotations

import math
from collections.abc import Sequence

from recipe.config import DataConfig
from recipe.tasks import get_task


def expected_steps(tasks: Sequence[str], data: DataConfig, max_duration: str) -> int | None:
    """Optimiser steps by the published sizes; a store with fewer examples has fewer. None: a size is not known.

    Args:
        tasks: Keys.
        data: What an update is.
        max_duration: Of the run, ``"2ep"`` or ``"500ba"``.
    """
    duration = int(max_duration[:-2])
    if max_duration.endswith("ba"):
        return duration
    examples = 0.0
    for task in map(get_task, tasks):
        rows = task.origin.known_rows(task.train_split)
        if rows is None:
            return None
        examples += min(rows * data.fraction, data.max_examples_per_task or math.inf)
    steps = max(1, round(examples / data.step_examples))
    return duration * min(steps, data.max_steps_per_epoch or steps)


def steps_text(steps: int | None) -> str:
    """As a table shows :func:`expected_steps`."""
    return "unknown" if steps is None else f"{steps:,}"


def hours_text(seconds: float | None) -> str:
    """As a table shows how long something will take; None: nothing like it has been timed yet."""
    return "known after the first run" if seconds is None else f"{seconds / 3600:.1f}"
