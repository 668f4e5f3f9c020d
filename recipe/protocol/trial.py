"""One fine-tuning run of the protocol: what it is called, and how it is run in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from omegaconf import OmegaConf

from recipe.checkpoint_store import RunStore
from recipe.protocol.bucket import fetch_result, store_result
from recipe.protocol.config import ProtocolConfig, finetune_config, shared_url
from recipe.protocol.finetune_config import FinetuneConfig, parse_finetune_config
from recipe.protocol.process import ProcessError, run_script
from recipe.protocol.result import RESULT, FinetuneResult, load_result
from recipe.report.files import write_text
from recipe.yaml_keys import save_config

Point = dict[str, Optional[float]]  # noqa: UP045 (hyper-parameters by name: lr, eps, dropout)


@dataclass(frozen=True)
class Cell:
    """What is compared: a task, a start and a share of the training examples.

    Attributes:
        task: Its key.
        label: The start's name in the report.
        start: Hub name, folder or run.
        fraction: Of the training examples.
    """

    task: str
    label: str
    start: str
    fraction: float

    @property
    def name(self) -> str:
        """Of its folder in the evaluation's."""
        return f"{self.task}/{self.label}/{self.fraction:g}"

    def folder(self, root: Path) -> Path:
        """Where its runs are."""
        return root / self.name


@dataclass(frozen=True)
class Trial:
    """One run of a cell."""

    cell: Cell
    point: tuple[tuple[str, float | None], ...]
    seed: int

    @property
    def name(self) -> str:
        """Of its folder: ``lr=1e-05,eps=1e-06,seed=1``; hyper-parameters that are the backbone's own are left out."""
        values = [f"{name}={value:g}" for name, value in self.point if value is not None]
        return ",".join([*values, f"seed={self.seed}"])

    def folder(self, root: Path) -> Path:
        return self.cell.folder(root) / self.name

    def is_done(self, root: Path) -> bool:
        return (self.folder(root) / RESULT).is_file()


def finished_trials(cell: Cell, root: Path) -> list[tuple[Path, FinetuneResult]]:
    """Folder and result of each finished run of a cell, those of an earlier search among them."""
    folders = sorted(path.parent for path in cell.folder(root).glob(f"*/{RESULT}"))
    return [(folder, load_result(folder)) for folder in folders]


def run_trial(trial: Trial, root: Path, config: ProtocolConfig, devices: Sequence[int] = ()) -> FinetuneResult:
    """The trial's result: read if it is there, else made by ``recipe/finetune.py``, which continues an interrupted run.

    Where machines share a bucket it is looked for there, too, and stored there.

    Args:
        trial: What to run.
        root: Folder of the evaluation.
        config: Of the evaluation.
        devices: GPUs that the run has for itself, one a rank; none on a CPU.

    Raises:
        ProcessError: It ended without a result, or the result that is there was made with other settings.
        BucketError: The bucket cannot be reached.
    """
    folder, cell = trial.folder(root), trial.cell
    own = finetune_config(
        config,
        cell.task,
        cell.start,
        cell.fraction,
        dict(trial.point),
        seed=trial.seed,
        runs=str(folder.parent),
        run_name=trial.name,
    )
    yaml = folder / "finetune.yaml"
    url = shared_url(config.bucket, config.name)
    shared = RunStore(url, f"{cell.name}/{trial.name}") if url else None
    if shared and not _is_there(trial, root, own):
        fetch_result(shared, folder)
    if trial.is_done(root):
        _check_settings(yaml, own)
    made = not _is_there(trial, root, own)
    if made:
        write_text(yaml, save_config(own))
        run_script("finetune.py", yaml, config.ranks, devices)
    if shared:
        store_result(shared, folder, replace=made)
    return load_result(folder)


def _is_there(trial: Trial, root: Path, own: FinetuneConfig) -> bool:
    """Whether its result is, with scores of the test split if they are wanted."""
    return trial.is_done(root) and not (own.score_test and load_result(trial.folder(root)).test_scores is None)


def _check_settings(yaml: Path, own: FinetuneConfig) -> None:
    # A key that is newer than the run has its default meaning. Test scores change nothing of it.
    before = replace(parse_finetune_config(OmegaConf.load(yaml), str(yaml)), score_test=own.score_test)
    known = save_config(before).splitlines()
    changed = [line.strip() for line in save_config(own).splitlines() if line not in known]
    if changed:
        raise ProcessError(
            f"{yaml.parent}: was run with other settings; now it would be {', '.join(changed)}: give the evaluation "
            "another name, or restore them"
        )
