"""The report's files in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recipe.report.curves import plot_curves
from recipe.report.files import write_text
from recipe.report.markdown import report_text
from recipe.report.plot import plot_results
from recipe.report.results import RESULTS, TaskResult, save_results


def write_report(
    folder: Path,
    results: Sequence[TaskResult],
    run_name: str,
    metrics_file: Path | None = None,
    steps: int | None = None,
) -> Path:
    """Writes ``results.json``, ``report.png``, ``curves.png`` (with a metrics file) and ``report.md``.

    Args:
        folder: Made if it does not exist; files of an earlier report are replaced.
        results: One a task, at least one.
        run_name: Heads the report.
        metrics_file: The training run's ``metrics.jsonl``.
        steps: Optimiser steps behind the weights that were evaluated.

    Returns:
        The path of ``report.md``, which is written last.

    Raises:
        ValueError: There are no results, or the metrics file is damaged.
    """
    pictures = ["report.png"]
    save_results(folder / RESULTS, results, run_name, steps)
    plot_results(folder / "report.png", results, run_name)
    if metrics_file is not None:
        pictures.append("curves.png")
        plot_curves(folder / "curves.png", metrics_file, run_name)
    report = folder / "report.md"
    write_text(report, report_text(results, run_name, pictures))
    return report
