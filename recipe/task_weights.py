"""Which of my tasks help? Rank the tasks of a run by the weights that it learned.

    python recipe/task_weights.py runs/which_help_rte
    python recipe/task_weights.py runs/help_rte_1 runs/help_rte_2 runs/help_rte_3    # seeds of the same tasks

Writes task_weights.md and task_weights.png into the first run's folder. For runs with algorithms.tartan.method=meta
or with algorithms.balancing; see docs/task-weighting.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from recipe.command_line import make_parser, user_errors
from recipe.errors import UserError
from recipe.report.files import write_text
from recipe.report.task_weights import PICTURE, rank_tasks, read_weights, weights_text
from recipe.report.weight_curves import plot_weights
from recipe.run_folder import CONFIG, METRICS


def report_weights(runs: Sequence[Path]) -> Path:
    """Ranks the tasks of runs and writes the report into the first one's folder.

    Args:
        runs: Folders of runs of the same tasks, at least one.

    Returns:
        The path of ``task_weights.md``.

    Raises:
        UserError: One is no run, has no weights, or cannot be compared with the others.
    """
    recorded = [read_weights(run, run / METRICS) for run in runs]
    ranking = rank_tasks(recorded)
    end_task = common_end_task(runs)
    plot_weights(runs[0] / PICTURE, recorded, ranking, end_task)
    report = runs[0] / "task_weights.md"
    write_text(report, weights_text(recorded, ranking, end_task))
    return report


def common_end_task(runs: Sequence[Path]) -> str | None:
    """``algorithms.tartan.end_task`` of the runs; None if it was not set, or their configurations are gone.

    Raises:
        UserError: It differs.
    """
    found: dict[Path, str | None] = {
        run: OmegaConf.select(OmegaConf.load(run / CONFIG), "algorithms.tartan.end_task")
        for run in runs
        if (run / CONFIG).is_file()
    }
    if len(set(found.values())) > 1:
        differing = ", ".join(f"{run}: {end_task}" for run, end_task in found.items())
        raise UserError(f"the runs differ in algorithms.tartan.end_task ({differing}): give runs of the same one")
    return next(iter(found.values()), None)


def main() -> None:
    parser = make_parser("recipe/task_weights.py", __doc__ or "")
    parser.add_argument("runs", type=Path, nargs="+", metavar="run", help="folder of a run, runs/<name>")
    arguments = parser.parse_args()
    with user_errors():
        report = report_weights(arguments.runs)
    print(report.read_text(encoding="utf-8"))
    print(f"written: {report} with {PICTURE} beside it")


if __name__ == "__main__":
    main()
