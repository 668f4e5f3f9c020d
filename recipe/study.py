"""Studies: pre-finetuning runs that differ in one thing, and what fine-tuning gains from each.

    make study NAME=scale                                  # the paper's figure 1: how many tasks?
    python recipe/study.py yamls/studies/batching.yaml     # figure 2: which strategy?
    python recipe/study.py yamls/studies/scale.yaml --dry-run

Every run is made by recipe/train.py, then recipe/evaluate.py compares them all with the backbone they began with. What
is done is skipped and what was interrupted continues; the same command on another machine that sees the folder
runs/studies/<name>, or has the same bucket=s3://..., takes a part of the work. Every key is explained below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

import torch
from tqdm import tqdm

from recipe.checkpoint_store import RunStore
from recipe.config import TrainConfig, load_config, tokenizer_name
from recipe.evaluate import describe, evaluate
from recipe.protocol.bucket import fetch_finished, store_finished
from recipe.protocol.cells import list_cells
from recipe.protocol.claims import Claims, Taken, wait_for_others
from recipe.protocol.command import compare_command
from recipe.protocol.config import ProtocolConfig, shared_url
from recipe.protocol.preflight import Need, check_data, find_problems, needed_data
from recipe.protocol.process import run_script
from recipe.protocol.starts import name_starts, read_seen, start_tokenizer
from recipe.protocol.steps import expected_steps, hours_text, steps_text
from recipe.protocol.study_config import NestedTasks, StudyConfig, load_study_config, study_evaluation, study_runs
from recipe.report.files import write_text
from recipe.report.markdown import markdown_table
from recipe.run_folder import CONFIG, FINISHED, check_continuation
from recipe.yaml_keys import save_config


def study(config: StudyConfig, command: str) -> Path:
    """Runs what is not done yet of a study, and writes its report.

    Returns:
        The report's path.

    Raises:
        StoreError: Shards are missing that any of the runs will read, or lack what its metrics need.
        ProcessError: A pre-finetuning run failed, or every fine-tuning run did.
        RunFolderError: A pre-finetuning run that is there was made with other settings.
        BucketError: The bucket that machines share cannot be reached.
    """
    runs = study_runs(config)
    if not config.bucket:  # where other machines may have finished what needs the data
        _check_data(study_evaluation(config, runs), runs)
    prefinetune(runs, config.ranks or max(1, torch.cuda.device_count()), shared_url(config.bucket, config.name))
    return evaluate(study_evaluation(config, runs), command, title=config.name)


def _check_data(evaluation: ProtocolConfig, runs: Mapping[str, TrainConfig]) -> None:
    """Before the first pre-finetuning run, whether all that follow find their data, too.

    Raises:
        StoreError: See :func:`recipe.protocol.preflight.check_data`.
    """
    starts = name_starts(evaluation)
    tokenizers = {name: start_tokenizer(source) for name, source in starts.items()} | _tokenizers(runs)
    root = Path(evaluation.folder) / evaluation.name
    check_data([*_needs(runs), *needed_data(evaluation, list_cells(evaluation, starts), root, tokenizers)])


def _needs(runs: Mapping[str, TrainConfig]) -> list[Need]:
    """What the pre-finetuning runs that are not finished will read."""
    left = {name: run for name, run in runs.items() if not _is_finished(Path(run.runs) / name, run)}
    return [Need(run.data.store, tokenizer_name(run), task) for run in left.values() for task in run.tasks]


def _tokenizers(runs: Mapping[str, TrainConfig]) -> dict[str, str]:
    return {name: tokenizer_name(run) for name, run in runs.items()}


def prefinetune(runs: Mapping[str, TrainConfig], ranks: int, shared: str | None = None) -> None:
    """Runs one after another what no other process is at, then waits for the others'.

    Args:
        runs: By name.
        ranks: Of each.
        shared: The study's URL, where machines that do not share its folder claim runs and find what is finished.

    Raises:
        ProcessError: One of them failed.
        RunFolderError: One that is there was made with other settings.
        BucketError: The bucket cannot be reached.
    """
    claims = Claims(shared)
    # Machines that begin together and claim in the same order would want the same.
    waiting = Random().sample(list(runs), len(runs)) if shared else list(runs)
    with tqdm(total=len(runs), desc="pre-finetuning", unit="run") as progress:
        while waiting:
            taken = []
            for name in waiting:
                folder = Path(runs[name].runs) / name
                try:
                    with claims.claim(name, folder):
                        _prefinetune(runs[name], folder, ranks, RunStore(f"{shared}/runs", name) if shared else None)
                    progress.update()
                except Taken:
                    taken.append(name)
            waiting = taken
            if waiting:
                wait_for_others()


def _prefinetune(run: TrainConfig, folder: Path, ranks: int, shared: RunStore | None) -> None:
    if shared and not (folder / FINISHED).is_file():
        fetch_finished(shared, folder)
    if not _is_finished(folder, run):
        yaml = folder / "train.yaml"
        write_text(yaml, save_config(run))
        tqdm.write(f"pre-finetuning {run.run_name}: see {yaml.with_suffix('.log')}")
        run_script("train.py", yaml, ranks)
    if shared:
        store_finished(shared, folder)


def _is_finished(folder: Path, run: TrainConfig) -> bool:
    if not (folder / FINISHED).is_file():
        return False
    check_continuation(folder, run)
    return load_config(folder / CONFIG).max_duration == run.max_duration


def describe_study(config: StudyConfig, speed: float | None = None) -> str:
    """What :func:`study` would do, as text; see :func:`recipe.evaluate.describe`."""
    runs = study_runs(config)
    done = {name for name, run in runs.items() if _is_finished(Path(run.runs) / name, run)}
    seconds = _seconds_an_example(Path(runs[name].runs) / name for name in done) or (speed and 1 / speed)
    rows = [
        (
            name,
            f"{len(run.tasks)}",
            run.data.strategy.value,
            steps_text(steps),
            "done" if name in done else hours_text(seconds and steps and seconds * steps * run.data.step_examples),
        )
        for name, run in runs.items()
        for steps in [expected_steps(run.tasks, run.data, run.max_duration)]
    ]
    table = markdown_table(("pre-finetuning run", "tasks", "strategy", "steps", "hours left"), rows, "lrlrr")
    problems = [f"Not ready: {problem}" for problem in find_problems(_needs(runs))]
    evaluation = describe(study_evaluation(config, runs), speed, _tokenizers(runs))
    return "\n\n".join([table, *problems, f"Then {evaluation}"])


def _seconds_an_example(finished: Iterable[Path]) -> float | None:
    """Of the runs in these folders; None: none of them was timed."""
    timed = [(seen.seconds, seen.examples) for seen in map(read_seen, finished) if seen and seen.seconds]
    return sum(seconds for seconds, _ in timed) / sum(examples for _, examples in timed) if timed else None


def main(arguments: Sequence[str] | None = None) -> None:
    compare_command(
        arguments,
        script="recipe/study.py",
        description=__doc__ or "",
        schemas=(StudyConfig, NestedTasks),
        yaml="the study, e.g. yamls/studies/scale.yaml",
        override="ranks=8",
        load=load_study_config,
        describe=describe_study,
        run=study,
    )


if __name__ == "__main__":
    main()
