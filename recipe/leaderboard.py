"""Predict the test splits of GLUE or SuperGLUE and write the file that the benchmark's server takes.

    python recipe/leaderboard.py glue glue.zip runs/finetune/cola runs/finetune/sst2 runs/finetune/mnli ...
    python recipe/leaderboard.py superglue superglue.zip runs/roberta_large --store stores/prefinetune
    python recipe/leaderboard.py glue part.zip runs/finetune/rte --partial

A run answers the tasks that it learned: a fine-tuned one its own, a pre-finetuned one all that it has heads for. The
store needs the test splits (python -m data_prep <store> --splits test --tasks cola,...,ax for GLUE, ...,axb,axg for
SuperGLUE). The diagnostic sets are answered by the run that learned MNLI (AX) or RTE (AX-b, AX-g). GLUE's server wants
all eleven files at once, SuperGLUE's ten; --partial writes what there is, which is of use only to look at.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from composer.utils import dist

from recipe.checkpoint import CheckpointError, find_checkpoint, read_checkpoint
from recipe.command_line import make_parser, user_errors
from recipe.data.stream_files import StoreError
from recipe.protocol.result import RESULT, TEST_PREDICTIONS, Predictions, load_predictions, load_result
from recipe.report.files import write_beside
from recipe.score import score_checkpoint
from recipe.tasks import get_task
from recipe.tasks.leaderboards import BENCHMARKS, LeaderboardError, complete


def write_submission(
    path: Path,
    benchmark: str,
    runs: Sequence[Path],
    checkpoint: str = "best",
    store: str | None = None,
    partial: bool = False,
) -> list[str]:
    """Writes the zip.

    Args:
        path: Of the zip.
        benchmark: A key of :data:`BENCHMARKS`.
        runs: Folders of runs.
        checkpoint: ``best``, ``latest`` or the path of one, of the runs that have no predictions of the test split yet.
        store: Shard store, if it is not where the runs read it.
        partial: Whether files may be missing, and examples in them.

    Returns:
        What the server may object to, a line each.

    Raises:
        LeaderboardError: Two runs answer the same; none answers anything; or, unless ``partial``, not everything is
            answered.
        StoreError: Unless ``partial``: the store lacks a test split.
        CheckpointError: Unless ``partial``: a run without predictions of its own has not kept its weights.
    """
    files = BENCHMARKS[benchmark]
    answering = _assign({file.task for file in files}, runs, checkpoint)
    remarks = [
        f"{file.name}: no run learned {get_task(file.task).learned_as}" for file in files if file.task not in answering
    ]
    if remarks and not partial:
        raise LeaderboardError(
            f"the server takes all {len(files)} files at once; {'; '.join(remarks)}: give such runs, too, or --partial "
            "for a zip to look at"
        )
    contents: dict[str, str] = {}
    predicted: dict[str, Predictions] = {}
    for key, run in answering.items():
        try:
            predicted[key] = _predict(run, key, checkpoint, store)
        except (StoreError, CheckpointError) as error:
            if not partial:
                raise
            remarks.append(str(error))
    for file in files:
        if file.task in predicted:
            own = predicted[file.task]
            answers, remark = complete(file, file.answers(own.indices, own.predictions, own.references), partial)
            contents[file.name] = file.write(get_task(file.task), answers)
            remarks += [remark] if remark else []
    if not contents:
        raise LeaderboardError(f"there is nothing to write: {'; '.join(remarks)}")
    if dist.get_global_rank() == 0:
        write_beside(path, lambda beside: _write_zip(beside, contents))
    return remarks


def _assign(keys: set[str], runs: Sequence[Path], checkpoint: str) -> dict[str, Path]:
    """Which run answers a task: one that was fine-tuned on it, else one that has learned it among others."""
    answering: dict[str, Path] = {}
    for run in sorted(runs, key=_is_finetuned, reverse=True):
        learned = _learned(run, checkpoint)
        for key in sorted(key for key in keys if get_task(key).learned_as in learned):
            first = answering.setdefault(key, run)
            if first != run and _is_finetuned(first) == _is_finetuned(run):
                raise LeaderboardError(f"{key}: {first} and {run} both answer it: give one of them")
    return answering


def _is_finetuned(run: Path) -> bool:
    return (run / RESULT).is_file()


def _learned(run: Path, checkpoint: str) -> Sequence[str]:
    if _is_finetuned(run):
        return [load_result(run).task]
    return read_checkpoint(find_checkpoint(run, checkpoint)).tasks


def _predict(run: Path, key: str, checkpoint: str, store: str | None) -> Predictions:
    """The predictions that the run has, or new ones."""
    if (run / TEST_PREDICTIONS).is_file() and load_result(run).task == key:
        return load_predictions(run, TEST_PREDICTIONS)
    path = find_checkpoint(run, checkpoint)
    return score_checkpoint(path, store, split="test", tasks=[key], predict_only=True)[key].predictions


def _write_zip(path: Path, contents: Mapping[str, str]) -> None:
    """The same bytes for the same files: their date is none."""
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, text in contents.items():
            archive.writestr(ZipInfo(name), text, ZIP_DEFLATED)


def main() -> None:
    parser = make_parser("recipe/leaderboard.py", __doc__ or "")
    parser.add_argument("benchmark", choices=list(BENCHMARKS))
    parser.add_argument("zip", type=Path, help="the file to write")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, runs/finetune/<name> or runs/<name>")
    parser.add_argument("--checkpoint", default="best", help="best (default), latest, or a checkpoint's path")
    parser.add_argument("--store", help="shard store, if it is not where the runs read it")
    parser.add_argument("--partial", action="store_true", help="write what there is; the server will not take it")
    arguments = parser.parse_args()
    with user_errors():
        remarks = write_submission(
            arguments.zip,
            arguments.benchmark,
            arguments.runs,
            arguments.checkpoint,
            arguments.store,
            arguments.partial,
        )
    if dist.get_global_rank() == 0:
        print(*(f"warning: {remark}" for remark in remarks), sep="\n", file=sys.stderr)
        print(f"written: {arguments.zip}")


if __name__ == "__main__":
    main()
