"""Is the data there? Asked of the shards' small files before the first run, not by each run after minutes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from recipe.data.manifest import TRAINING_SPLITS, Manifest
from recipe.data.remote import is_url, store_root
from recipe.data.store import StoreError, check_labelled, conversion_command, open_manifests
from recipe.data.tokenizer import load_tokenizer
from recipe.errors import UserError
from recipe.protocol.cells import count_trials
from recipe.protocol.config import ProtocolConfig, finetune_config, hyperparameters
from recipe.protocol.finetune_config import FinetuneConfig
from recipe.protocol.search import finished_runs
from recipe.protocol.trial import Cell
from recipe.tasks import get_task
from recipe.tasks.metrics import group_of
from recipe.tasks.origin import source_splits


class Need(NamedTuple):
    """Shards that a run will read.

    Attributes:
        store: Folder or URL.
        tokenizer: Hub name or folder.
        task: Key.
        test: Whether it reads the test split, too.
    """

    store: str
    tokenizer: str
    task: str
    test: bool = False


def example_run(config: ProtocolConfig, task: str, fraction: float = 1.0) -> FinetuneConfig:
    """One of a task's fine-tuning runs."""
    point = hyperparameters(config.search)[0]
    return finetune_config(config, task, "start", fraction, point, seed=1, runs="", run_name="run")


def needed_data(config: ProtocolConfig, cells: Iterable[Cell], root: Path, tokenizers: Mapping[str, str]) -> list[Need]:
    """What the runs of an evaluation that are not finished will read.

    Args:
        config: Of the evaluation.
        cells: Of it.
        root: Its folder.
        tokenizers: Of each start by its label, where the configuration names none.
    """
    needs = []
    for cell in cells:
        own = example_run(config, cell.task)
        done = finished_runs(cell, root, config)
        tested = not own.score_test or all(result.test_scores is not None for result in done)
        if len(done) < count_trials(config) or not tested:
            tokenizer = own.tokenizer or tokenizers[cell.label]
            needs.append(Need(own.data.store, tokenizer, cell.task, own.score_test))
    return list(dict.fromkeys(needs))


def check_data(needs: Iterable[Need]) -> None:
    """Whether all of it can be read and scored.

    Raises:
        StoreError: With each task that lacks something, where, and the command that mends it.
    """
    problems = find_problems(needs)
    if problems:
        raise StoreError("\n".join(problems))


def find_problems(needs: Iterable[Need]) -> list[str]:
    """What is wrong with the data, a line for each store, tokenizer and split; nothing if all is there."""
    together: dict[tuple[str, str], list[Need]] = defaultdict(list)  # a tokenizer takes long to load and to name
    for need in needs:
        together[need.store, need.tokenizer].append(need)
    problems = []
    for (store, tokenizer), own in together.items():
        tasks, tested = ({need.task: None for need in own if need.test or not test} for test in (False, True))
        problems += _problems(store, tokenizer, list(tasks), list(tested))
    return list(dict.fromkeys(problems))  # starts that share a tokenizer lack the same


def _problems(store: str, tokenizer: str, tasks: Sequence[str], tested: Sequence[str]) -> list[str]:
    folder = store_root(store)
    if not is_url(folder) and not os.path.isdir(folder):  # for which no tokenizer is needed
        command = conversion_command(folder, tokenizer, tasks, "train")
        more = f" && {conversion_command(folder, tokenizer, tested, 'test')}" if tested else ""
        return [f"{folder}: no such folder; convert the data first: {command}{more}"]
    try:
        loaded = load_tokenizer(tokenizer)
        manifests = {split: open_manifests(store, loaded, tasks, split) for split in TRAINING_SPLITS}
    except UserError as error:
        return [str(error)]
    problems = [problem for manifest in manifests["validation"] if (problem := _lacking_group(folder, manifest))]
    for task in tested:
        try:
            check_labelled(store, loaded, [task], "test")
        except UserError as error:
            problems.append(f"{error}; or do not score it: per_task.{task}.score_test=false")
    return problems


def _lacking_group(store: str, manifest: Manifest) -> str | None:
    """What a metric of one group of examples has nothing to score for."""
    task = get_task(manifest.task)
    there = {part.rpartition("_")[2] for part in source_splits(manifest.source_split)}
    lacking = sorted(name for name in task.metrics if (group := group_of(task, name)) and group not in there)
    if not lacking:
        return None
    return (
        f"{store}: the validation split of {task.key} is {manifest.source_split}, so {task.key} has no "
        f"{', '.join(lacking)}; give the source "
        f"{task.evaluation_splits[0].replace('+', ' and ')}, then convert: "
        f"{conversion_command(store, manifest.tokenizer, [task.key], 'validation')}"
    )
