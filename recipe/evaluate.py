"""Is fine-tuning better from here than from there? The protocol: the same search, the same seeds, from every start.

    make eval RUN=runs/roberta_base                                     # against the backbone that it started from
    python recipe/evaluate.py yamls/eval/paper.yaml run=runs/roberta_base tasks=[rte,boolq]
    python recipe/evaluate.py yamls/eval/mini.yaml starts.plain=roberta-base starts.muppet=facebook/muppet-roberta-base
    python recipe/evaluate.py yamls/eval/mini.yaml run=runs/minilm --dry-run

For each task, start and share of the training data every combination of learning rate, Adam epsilon and dropout is
tried with the first seed; the one that is best on the validation split runs with all seeds. Everything goes to
runs/eval/<name>/, report.html and report.md among it. The same command continues what was interrupted, and the same
command on another machine that sees the folder, or has the same bucket=s3://..., takes a part of the work. Every key is
explained below.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from recipe.data.manifest import TRAINING_SPLITS, Manifest
from recipe.data.store import open_manifests
from recipe.data.tokenizer import load_tokenizer
from recipe.errors import UserError
from recipe.export import exported_start
from recipe.protocol.cells import count_trials, list_cells, run_cells
from recipe.protocol.command import compare_command
from recipe.protocol.comparison import Comparison, Run
from recipe.protocol.config import ProtocolConfig, SearchConfig, hyperparameters, load_protocol_config
from recipe.protocol.preflight import check_data, example_run, find_problems, needed_data
from recipe.protocol.process import ProcessError
from recipe.protocol.result import load_predictions
from recipe.protocol.search import finished_runs
from recipe.protocol.starts import describe_starts, name_starts, start_tokenizer
from recipe.protocol.steps import expected_steps, hours_text, steps_text
from recipe.protocol.trial import finished_trials
from recipe.report.files import write_text
from recipe.report.markdown import markdown_table
from recipe.report.protocol import write_protocol_report
from recipe.tasks import get_task
from recipe.yaml_keys import save_config


def evaluate(config: ProtocolConfig, command: str, title: str | None = None) -> Path:
    """Runs what is not done yet of the protocol, and writes the report.

    Args:
        config: What to compare.
        command: Makes the report again; stands in it.
        title: Of the report; default: the evaluation's name.

    Returns:
        The report's path.

    Raises:
        ConfigError: There is nothing to compare.
        CheckpointError: A run to start from has not trained.
        StoreError: Shards are missing that runs will read, or lack what their metrics need.
        ProcessError: No fine-tuning run succeeded. Where some did, the report says which are missing.
        BucketError: The bucket that machines share cannot be reached.
    """
    starts = name_starts(config)
    cells = list_cells(config, {label: exported_start(start) for label, start in starts.items()})
    described = describe_starts(starts)  # now: a run that is not finished may go on meanwhile
    root = Path(config.folder) / config.name
    needs = needed_data(config, cells, root, {cell.label: cell.start for cell in cells})
    if config.bucket:  # other machines may have finished what needs the data
        for problem in find_problems(needs):
            print(f"not all of the data is here: {problem}")
    else:
        check_data(needs)
    write_text(root / "protocol.yaml", save_config(config))
    outcome = run_cells(cells, root, config)
    if not outcome.runs:
        raise ProcessError(outcome.errors[0])
    final = {trial.folder(root) for trial in outcome.runs}
    comparison = Comparison(
        title=title or config.name,
        tasks=[get_task(key) for key in config.tasks],
        starts=described,
        runs=[Run(own, load_predictions(trial.folder(root)), trial.cell.label) for trial, own in outcome.runs.items()],
        configuration=save_config(config),
        command=command,
        data=_data(config, [cell.start for cell in cells]),
        missing=outcome.errors,
        search=[own for cell in cells for folder, own in finished_trials(cell, root) if folder not in final],
    )
    return write_protocol_report(root, comparison)


def _data(config: ProtocolConfig, starts: Iterable[str]) -> list[Manifest]:
    """Of each stream that was read, in shards of each start's tokenizer; starts that share one read the same."""
    together: dict[tuple[str, str, bool], list[str]] = defaultdict(list)  # a tokenizer takes long to load and to name
    for task in config.tasks:
        own = example_run(config, task)
        for tokenizer in dict.fromkeys([own.tokenizer] if own.tokenizer else starts):
            together[tokenizer, own.data.store, own.score_test].append(task)
    manifests = []
    for (tokenizer, store, test), tasks in together.items():
        try:
            loaded = load_tokenizer(tokenizer)
            for split in (*TRAINING_SPLITS, "test") if test else TRAINING_SPLITS:
                manifests += open_manifests(store, loaded, tasks, split)
        except UserError as error:  # finished runs can be reported where their data is not
            print(f"the report's data card lacks {', '.join(tasks)}: {error}")
    distinct = {(stream.task, stream.split, stream.fingerprint): stream for stream in manifests}
    return sorted(distinct.values(), key=lambda stream: stream.task)


def describe(config: ProtocolConfig, speed: float | None = None, tokenizers: Mapping[str, str] | None = None) -> str:
    """What :func:`evaluate` would do, as text: runs, steps and hours, and what of the data is not there.

    Args:
        config: What to compare.
        speed: Examples that are trained on in a second, where no finished run tells how long one takes.
        tokenizers: Hub names or folders, of starts by name that are not there yet.
    """
    starts = name_starts(config)
    root = Path(config.folder) / config.name
    rows: list[tuple[str, ...]] = []
    times: list[float | None] = []
    for task in config.tasks:
        expected = [_expect(config, task, fraction, starts, root, speed) for fraction in config.fractions]
        left, done = sum(one.left for one in expected), sum(one.done for one in expected)
        steps = [one.steps for one in expected if one.steps is not None]
        seconds = [one.seconds for one in expected if one.seconds is not None]
        times.append(sum(seconds) if len(seconds) == len(expected) else None)
        rows.append((task, str(left), str(done), steps_text(max(steps, default=None)), hours_text(times[-1])))
    own = {name: start_tokenizer(source) for name, source in starts.items() if name not in (tokenizers or {})}
    needs = needed_data(config, list_cells(config, starts), root, own | dict(tokenizers or {}))
    known = [seconds for seconds in times if seconds is not None]
    head = ("task", "runs left", "done", "steps of a run, at most", "hours left")
    points, shares = len(hyperparameters(config.search)), len(config.fractions)
    return "\n\n".join(
        [
            f"{config.name}: {len(config.tasks)} tasks x {len(starts)} starts ({', '.join(starts)}) x {shares} shares "
            f"of the data; in each {points} combinations to try, the best with {len(config.seeds)} seeds.",
            markdown_table(head, rows, "lrrrr"),
            f"Hours left, one run at a time: {hours_text(sum(known) if len(known) == len(times) else None)}",
            *(f"Not ready: {problem}" for problem in find_problems(needs)),
        ]
    )


class _Share(NamedTuple):
    """What is expected of a task's runs on one share of its training data, from all starts."""

    left: int
    done: int
    steps: int | None  # of one run
    seconds: float | None  # of those that are left


def _expect(
    config: ProtocolConfig, task: str, fraction: float, starts: Mapping[str, str], root: Path, speed: float | None
) -> _Share:
    own = replace(config, tasks=[task], fractions=[fraction])
    cells = list_cells(own, starts)
    done = sum(len(finished_runs(cell, root, config)) for cell in cells)
    left = len(cells) * count_trials(config) - done
    example = example_run(config, task, fraction)
    steps = expected_steps([task], example.data, example.max_duration)
    # Of an earlier search, too: they are as long. Those on another share are not.
    timed = [result.seconds for cell in cells for _, result in finished_trials(cell, root)]
    guessed = steps * example.data.step_examples / speed if steps and speed else None
    seconds = mean(timed) if timed else guessed
    return _Share(left, done, steps, left * seconds if seconds is not None else None if left else 0.0)


def main(arguments: Sequence[str] | None = None) -> None:
    compare_command(
        arguments,
        script="recipe/evaluate.py",
        description=__doc__ or "",
        schemas=(ProtocolConfig, SearchConfig),
        yaml="the protocol, e.g. yamls/eval/mini.yaml",
        override="run=runs/roberta_base",
        load=load_protocol_config,
        describe=describe,
        run=evaluate,
    )


if __name__ == "__main__":
    main()
