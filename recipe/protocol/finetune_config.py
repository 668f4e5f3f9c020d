"""The keys of a fine-tuning run: types, defaults and meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, Optional

from omegaconf import MISSING, OmegaConf

from recipe.config import (
    AlgorithmsConfig,
    BackboneConfig,
    DataConfig,
    LoggingConfig,
    OptimizerConfig,
    Parallelism,
    Precision,
    R3FConfig,
    TrainConfig,
    check_config,
    load_user_tasks,
)
from recipe.run_folder import CONFIG
from recipe.tasks.user import UserTask
from recipe.yaml_keys import ConfigError, parse_keys, read_keys

# OmegaConf reads these annotations at run time and knows Optional[X], not X | None.
# ruff: noqa: UP045


class ReuseHead(str, Enum):
    """Whether fine-tuning goes on with the head that the start brings for the task."""

    auto = "auto"  # as the paper does: reading comprehension, commonsense, small sentence-prediction sets
    yes = "yes"  # an error where the start has none
    no = "no"


@dataclass
class FinetuneConfig:
    """Fine-tuning of one task. The paper names what it searches, not the values: these are RoBERTa's (1907.11692)."""

    # Name of the run and of its folder under `runs`.
    run_name: str = MISSING
    # Folder of all runs.
    runs: str = "runs/finetune"
    seed: int = 1
    # Task key, see recipe/tasks/catalogue.py.
    task: str = MISSING
    # Datasets of your own: docs/add_a_task.md. Default: if `task` is one of the run `start`, as that run has it.
    user_tasks: dict[str, UserTask] = field(default_factory=dict)
    # Hub name, folder of a model, folder written by recipe.export, or a run's folder (its best checkpoint).
    start: str = MISSING
    # Hub name or folder of the tokenizer; default: that of `start`.
    tokenizer: Optional[str] = None
    reuse_head: ReuseHead = ReuseHead.auto
    # Dropout probability, in the backbone and the head; default: the backbone's own.
    dropout: Optional[float] = None
    # Shards as for pre-finetuning; data.fraction=0.1 trains on a tenth.
    data: DataConfig = field(default_factory=lambda: DataConfig(step_examples=32))
    optimizer: OptimizerConfig = field(default_factory=lambda: OptimizerConfig(weight_decay=0.1))
    # Off unless asked for: log n scales nothing where there is one task.
    algorithms: AlgorithmsConfig = field(
        default_factory=lambda: AlgorithmsConfig(log_n_scaling=False, r3f=R3FConfig(enabled=False))
    )
    # Longest training, and what lies between two evaluations; the weights of the best evaluation are scored.
    max_duration: str = "10ep"
    eval_interval: str = "1ep"
    save_interval: str = "1ep"
    # Stop after so many evaluations in a row without a better one. Default: train to the end.
    patience: Optional[int] = None
    # Also score the test split, with the weights that were best on the validation split: it chooses nothing.
    score_test: bool = False
    # Keep the checkpoints when the result is written.
    keep_weights: bool = True
    precision: Precision = Precision.auto
    parallelism: Parallelism = Parallelism.ddp
    logging: LoggingConfig = field(default_factory=LoggingConfig)


def load_finetune_config(path: str | Path, overrides: Sequence[str] = ()) -> FinetuneConfig:
    """Reads and checks the configuration of a fine-tuning run.

    Raises:
        ConfigError: With the key at fault.
    """
    return parse_finetune_config(read_keys(path, overrides), str(path))


def parse_finetune_config(given: Any, where: str) -> FinetuneConfig:
    """Like :func:`load_finetune_config`, for keys that are read already."""
    if OmegaConf.is_dict(given) and isinstance(given.get("reuse_head"), bool):  # how YAML reads yes and no
        given = OmegaConf.merge(given, {"reuse_head": "yes" if given.reuse_head else "no"})
    config = parse_keys(given, FinetuneConfig, where)
    if config.task not in config.user_tasks and config.task in (own := user_tasks_of(config.start)):
        config.user_tasks[config.task] = own[config.task]
    train_config(config, "start", reuse_head=False)  # its checks are those of every run
    if config.patience is not None and config.patience < 1:
        raise ConfigError(f"{where}: patience={config.patience} must be at least 1")
    return config


def user_tasks_of(start: str) -> dict[str, UserTask]:
    """The tasks of a user's own that a run to start from has learned; they are registered. None of any other start.

    Raises:
        ConfigError: The run's configuration cannot be read.
    """
    path = Path(start) / CONFIG
    return load_user_tasks(path) if path.is_file() and read_keys(path).get("user_tasks") else {}


def train_config(config: FinetuneConfig, backbone: str, reuse_head: bool) -> TrainConfig:
    """The training run that a fine-tuning is.

    Args:
        config: What to fine-tune.
        backbone: Hub name or folder that ``config.start`` stands for.
        reuse_head: Whether the head comes from there, too.
    """
    names = {own.name for own in fields(TrainConfig)}
    shared = {own.name: getattr(config, own.name) for own in fields(config) if own.name in names}
    start = BackboneConfig(name=backbone, tokenizer=config.tokenizer, dropout=config.dropout, reuse_heads=reuse_head)
    run = TrainConfig(**shared, backbone=start, tasks=[config.task], keep_checkpoints=1)
    return check_config(run, config.run_name)
