"""Every YAML key: its type, default and meaning, in one place.

A run is described by a YAML file and ``key=value`` overrides (nested keys with dots), merged into :class:`TrainConfig`.
Unknown keys, wrong types and impossible values stop here, before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Optional

from omegaconf import MISSING, OmegaConf

from recipe.data.batch_plan import PlanSettings, Strategy, Weighting
from recipe.tasks import Family, Task, UnknownTask, get_task
from recipe.tasks.catalogue import TaskConflict, register
from recipe.tasks.user import UserTask, UserTaskError, build_task
from recipe.yaml_keys import ConfigError, parse_keys, read_keys

# OmegaConf reads these annotations at run time and knows Optional[X], not X | None.
# ruff: noqa: UP045


class Precision(str, Enum):
    """Arithmetic of forward and backward."""

    auto = "auto"  # bf16 where the GPU has it, else fp16 on a GPU, else fp32
    fp32 = "fp32"
    amp_bf16 = "amp_bf16"
    amp_fp16 = "amp_fp16"


class Parallelism(str, Enum):
    """How several ranks share the model."""

    ddp = "ddp"  # every rank holds all weights
    fsdp2 = "fsdp2"  # weights, gradients and optimizer state are sharded
    fsdp1 = "fsdp1"  # the same by the older implementation, on GPUs alone


class Noise(str, Enum):
    """Distribution of R3F's noise."""

    uniform = "uniform"  # U(-eps, eps)
    normal = "normal"  # N(0, eps^2)


class Balancing(str, Enum):
    """What each task's loss is multiplied by. See docs/task-weighting.md."""

    none = "none"  # 1
    dataset_size = "dataset_size"  # its share of the examples; for data.weighting=tasks
    inverse_loss = "inverse_loss"  # the inverse of its average
    uncertainty = "uncertainty"  # 1 / sigma^2, learned (arXiv 1705.07115)
    dwa = "dwa"  # more, the slower it falls (arXiv 1803.10704)


class Tartan(str, Enum):
    """How an end task and its auxiliaries are weighed (arXiv 2109.07437). See docs/task-weighting.md."""

    none = "none"  # not at all
    mt = "mt"  # equally
    meta = "meta"  # as far as they help the end task's development loss, learned online


class Similarity(str, Enum):
    """What META-TARTAN compares gradients by."""

    cosine = "cosine"  # the authors' code
    dot = "dot"  # the paper's text


@dataclass
class BackboneConfig:
    """The pretrained model."""

    # Hub name, local folder, or a folder written by recipe.export. Empty: random weights from `config`.
    name: str = ""
    # Hugging Face configuration for random weights, e.g. {model_type: roberta, hidden_size: 128, ...}.
    config: Optional[dict[str, Any]] = None
    # Hub name or folder of the tokenizer; default: that of `name`.
    tokenizer: Optional[str] = None
    # Dropout probability, in the backbone and the heads; default: the backbone's own.
    dropout: Optional[float] = None
    # Start from the heads in an exported folder where it has them.
    reuse_heads: bool = True


@dataclass
class DataConfig:
    """Shards, and how an update is put together."""

    # Shard store written by `python -m data_prep`: a folder or a URL (s3://, gs://, ...).
    store: str = MISSING
    # `mixed`: several tasks share a forward, least padding. `heterogeneous`: one task a microbatch, as in the paper.
    # `batch_homogeneous`: a step is one task. `dataset_homogeneous`: one dataset after another. See docs/batching.md.
    strategy: Strategy = Strategy.MIXED
    # Examples of one optimiser step, over all ranks.
    step_examples: int = 512
    # What a step's loss is the mean over: its `examples`, or its `tasks` (each one's mean counts equally).
    weighting: Weighting = Weighting.EXAMPLES
    # Padded tokens (rows x longest row, encoder and decoder) of one microbatch: what fits into a device's memory.
    token_budget: int = 16384
    # At most this many examples of a task an epoch, another random subset each epoch. Default: natural sizes.
    max_examples_per_task: Optional[int] = None
    # Share of each task's examples to train on, e.g. 0.1: the same in every run, and a smaller share is part of it.
    fraction: float = 1.0
    # Tasks appear in proportion to size^(1/temperature). 1: natural sizes, every example once; above 1: small tasks
    # several times an epoch, large ones in part (arXiv 1910.10683, section 3.5.2). MUPPET found resampling harmful.
    temperature: float = 1.0
    # End each epoch after so many steps and shuffle anew; what was left over waits for its chance. Default: all.
    max_steps_per_epoch: Optional[int] = None
    # Draw each task's examples from so many of its shards at a time, for stores larger than the local cache. Default:
    # from all of them, a full shuffle.
    locality: Optional[int] = None
    # Room for shards on each machine's disk, e.g. 200gb: those not read for longest make room. Default: all are kept.
    # Below the store's size use `locality`, too, or every shard is fetched again and again.
    cache_limit: Optional[str] = None
    # Masked language modelling (tapt_ and dapt_ tasks) hides whole words, or spans of them, instead of single tokens.
    # Scores stay those of single tokens, which are easier.
    mask_whole_words: bool = False
    # Loader processes for each rank; 0 reads in the training process.
    workers: int = 0
    # Score on a fixed random sample of so many validation examples of a task, MultiRC's with all answers of a question.
    # Default: on all.
    max_validation_examples: Optional[int] = None

    def plan(self, seed: int) -> PlanSettings:
        """What the batch plan needs of this."""
        return PlanSettings(
            strategy=self.strategy,
            step_examples=self.step_examples,
            token_budget=self.token_budget,
            seed=seed,
            max_examples_per_task=self.max_examples_per_task,
            temperature=self.temperature,
            max_steps_per_epoch=self.max_steps_per_epoch,
            locality=self.locality,
            weighting=self.weighting,
            fraction=self.fraction,
        )


@dataclass
class OptimizerConfig:
    """AdamW with linear warm-up and linear decay to zero. The paper's values are not published; these are ours."""

    # Peak learning rate.
    lr: float = 2.0e-5
    # Peak learning rate of what is new: heads, and the log variances of uncertainty weighting. Default: lr.
    head_lr: Optional[float] = None
    # Adam's decay rates and epsilon.
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1.0e-6
    # Decoupled weight decay; biases and norms have none.
    weight_decay: float = 0.01
    # Share of the run in which the learning rate rises.
    warmup: float = 0.06
    # Largest gradient norm.
    clip_norm: float = 1.0


@dataclass
class R3FConfig:
    """R3F (arXiv 2008.03156): the representation should not change under tiny noise on the embeddings."""

    enabled: bool = True
    # Lambda, the weight of the symmetric KL term.
    weight: float = 1.0
    # Size of the noise.
    eps: float = 1.0e-5
    noise: Noise = Noise.uniform
    # R4F: also normalise the spectral norm of the classification heads' last layer.
    spectral_norm: bool = False


@dataclass
class TartanConfig:
    """End-task-aware training (arXiv 2109.07437): a step's loss is the weighted sum of its tasks' mean losses."""

    method: Tartan = Tartan.none
    # One of `tasks`: the best checkpoint is the one where its score is best. META-TARTAN needs one, a classification,
    # whose validation split teaches the weights.
    end_task: Optional[str] = None
    # Learning rate of the weights.
    lr: float = 1.0e-2
    similarity: Similarity = Similarity.cosine
    # Development examples drawn each step: to train a head of its own with, and to take the gradient of.
    head_examples: int = 32
    examples: int = 64

    @property
    def decisive_task(self) -> str | None:
        """The task by whose score the best checkpoint is chosen; None: by the mean over all."""
        return None if self.method is Tartan.none else self.end_task


@dataclass
class AlgorithmsConfig:
    """What changes the loss."""

    # Divide each datapoint's loss by log n (MUPPET, section 3.2).
    log_n_scaling: bool = True
    # What each task's loss is multiplied by, in a step of several tasks.
    balancing: Balancing = Balancing.none
    tartan: TartanConfig = field(default_factory=TartanConfig)
    r3f: R3FConfig = field(default_factory=R3FConfig)
    # Label smoothing of summarization targets.
    label_smoothing: float = 0.1


@dataclass
class LoggingConfig:
    """Where numbers go besides the console and metrics.jsonl."""

    # Batches between two records of loss and throughput.
    interval: int = 10
    progress_bar: bool = True
    tensorboard: bool = True
    # Keyword arguments of composer.loggers.WandBLogger / MLFlowLogger; absent: not used.
    wandb: Optional[dict[str, Any]] = None
    mlflow: Optional[dict[str, Any]] = None


@dataclass
class TrainConfig:
    """One pre-finetuning run."""

    # Name of the run and of its folder under `runs`.
    run_name: str = MISSING
    # Folder of all runs.
    runs: str = "runs"
    seed: int = 17
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    # Task keys, see recipe/tasks/catalogue.py, or keys of `user_tasks`.
    tasks: list[str] = MISSING
    # Tasks of your own, by key: files and what their columns mean. See recipe/tasks/user.py and docs/add_a_task.md.
    user_tasks: dict[str, UserTask] = field(default_factory=dict)
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    algorithms: AlgorithmsConfig = field(default_factory=AlgorithmsConfig)
    # Length of training: epochs ("2ep") or optimiser steps ("20000ba").
    max_duration: str = "1ep"
    # Between evaluations, and between checkpoints ("500ba", "1ep"). Both also happen at the end.
    eval_interval: str = "1ep"
    save_interval: str = "1ep"
    # Checkpoints kept besides the best one; -1 keeps all.
    keep_checkpoints: int = 2
    # Object store (s3://, gs://, azure://, oci://) where <url>/<run_name> mirrors the run: checkpoints, config.yaml and
    # metrics.jsonl are uploaded while training goes on, and fetched where the run continues on another machine.
    checkpoint_store: Optional[str] = None
    # Continue the run of this name where its last checkpoint is; false refuses a folder that has one.
    autoresume: bool = True
    precision: Precision = Precision.auto
    parallelism: Parallelism = Parallelism.ddp
    # FSDP: ranks that one copy of the model is sharded over, e.g. the 8 of a machine, whose neighbours then hold copies
    # (HSDP). Default: all ranks.
    shard_over: Optional[int] = None
    # FSDP: every rank writes its own part of a checkpoint, a folder, instead of rank 0 one file with all.
    sharded_checkpoints: bool = False
    # Keep only each layer's input and compute the rest again in the backward: a third more time, far less memory.
    activation_checkpointing: bool = False
    logging: LoggingConfig = field(default_factory=LoggingConfig)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Merges defaults, a YAML file and ``key=value`` overrides, and checks the result.

    Raises:
        ConfigError: With the key at fault, and the nearest valid one if it is unknown.
    """
    return parse_config(read_keys(path, overrides), str(path))


def load_user_tasks(path: str | Path) -> dict[str, UserTask]:
    """The section ``user_tasks`` of a YAML, whatever else is in it; its tasks are registered.

    Raises:
        ConfigError: There is no such section, or it is wrong.
    """
    given = OmegaConf.to_container(read_keys(path), resolve=False)
    if not isinstance(given, dict) or not given.get("user_tasks"):
        raise ConfigError(f"{path} has no user_tasks: describe your data in that section, see docs/add_a_task.md")
    section = OmegaConf.create({"user_tasks": given["user_tasks"]})
    return _register(parse_keys(section, _UserTasks, str(path)).user_tasks, str(path))


def parse_config(given: Any, where: str) -> TrainConfig:
    """Fills in the defaults and checks names, types and values.

    Args:
        given: The keys that differ from the defaults.
        where: What errors call their origin.

    Raises:
        ConfigError: With the key at fault, and the nearest valid one if it is unknown.
    """
    return check_config(parse_keys(given, TrainConfig, where), where)


def check_config(config: TrainConfig, where: str) -> TrainConfig:
    """The same configuration; its own tasks are registered.

    Raises:
        ConfigError: With the key whose value is at fault.
    """
    _register(config.user_tasks, where)
    _check_values(config)
    return config


def tokenizer_name(config: TrainConfig) -> str:
    """Hub name or folder of the run's tokenizer."""
    return config.backbone.tokenizer or config.backbone.name


@dataclass
class _UserTasks:
    """What of a YAML describes a user's own tasks."""

    user_tasks: dict[str, UserTask] = MISSING


def _register(user_tasks: dict[str, UserTask], where: str) -> dict[str, UserTask]:
    try:
        for key, entry in user_tasks.items():
            register(build_task(key, entry))
    except (UserTaskError, TaskConflict) as error:
        raise ConfigError(f"{where}: {error}") from None
    return user_tasks


def _check_task_weights(config: TrainConfig) -> None:
    balancing, tartan = config.algorithms.balancing, config.algorithms.tartan
    weighs = {"algorithms.balancing": balancing.value, "algorithms.tartan.method": tartan.method.value}
    chosen = [f"{key}={value}" for key, value in weighs.items() if value != "none"]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} both weigh the tasks: leave one of them out")
    if chosen and config.data.strategy.one_task_a_step:
        raise ConfigError(
            f"{chosen[0]} weighs the tasks of a step, and data.strategy={config.data.strategy.value} has one: use "
            "data.strategy=mixed or heterogeneous"
        )
    if tartan.method is not Tartan.none and config.data.weighting is Weighting.TASKS:
        raise ConfigError(f"{chosen[0]} weighs means over tasks by itself: leave data.weighting at examples")
    if tartan.method is Tartan.meta or tartan.decisive_task is not None:
        _check_end_task(config)
    if tartan.method is Tartan.meta:
        _check_meta(config)
    if balancing is Balancing.dataset_size and config.data.weighting is not Weighting.TASKS:
        raise ConfigError(
            "algorithms.balancing=dataset_size weighs means over tasks: set data.weighting=tasks, or leave balancing "
            "out (a mean over the examples of natural samples already weighs tasks by size)"
        )


def _check_end_task(config: TrainConfig) -> None:
    tartan = config.algorithms.tartan
    if tartan.end_task not in config.tasks:
        raise ConfigError(
            f"algorithms.tartan.end_task={tartan.end_task} must be one of tasks: {', '.join(config.tasks)}"
        )


def _check_meta(config: TrainConfig) -> None:
    tartan = config.algorithms.tartan
    assert tartan.end_task is not None, "checked before"
    family = get_task(tartan.end_task).family
    if family is not Family.CLASSIFICATION:
        raise ConfigError(
            f"algorithms.tartan.end_task={tartan.end_task} is a {family.value} task; its development head can only be "
            "a classification's"
        )
    if config.precision is Precision.amp_fp16:
        raise ConfigError("algorithms.tartan.method=meta compares unscaled gradients, too small for precision=amp_fp16")
    if config.parallelism is Parallelism.fsdp1:
        raise ConfigError(
            "algorithms.tartan.method=meta compares parameters' gradients, and parallelism=fsdp1 has them in flat "
            "pieces alone: use parallelism=ddp or fsdp2"
        )


def _check_values(config: TrainConfig) -> None:
    if not config.tasks:
        raise ConfigError("tasks is empty: name at least one task")
    duplicates = {key for key in config.tasks if config.tasks.count(key) > 1}
    if duplicates:
        raise ConfigError(f"tasks names {', '.join(sorted(duplicates))} twice")
    try:
        tasks = [get_task(key) for key in config.tasks]
    except UnknownTask as error:
        raise ConfigError(f"tasks: {error}") from None
    _check_families(config, tasks)
    backbone = config.backbone
    if bool(backbone.name) == bool(backbone.config):
        raise ConfigError("give either backbone.name (pretrained weights) or backbone.config (random weights)")
    if backbone.config and not backbone.tokenizer:
        raise ConfigError("backbone.config needs backbone.tokenizer: a Hub name or a folder")
    _check_task_weights(config)
    positive = {
        "data.step_examples": config.data.step_examples,
        "data.token_budget": config.data.token_budget,
        "data.max_examples_per_task": config.data.max_examples_per_task,
        "data.fraction": config.data.fraction,
        "data.temperature": config.data.temperature,
        "data.max_steps_per_epoch": config.data.max_steps_per_epoch,
        "data.locality": config.data.locality,
        "optimizer.lr": config.optimizer.lr,
        "shard_over": config.shard_over,
        "optimizer.head_lr": config.optimizer.head_lr,
        "algorithms.tartan.lr": config.algorithms.tartan.lr,
        "algorithms.tartan.head_examples": config.algorithms.tartan.head_examples,
        "algorithms.tartan.examples": config.algorithms.tartan.examples,
        "logging.interval": config.logging.interval,
    }
    for key, value in positive.items():
        if value is not None and value <= 0:
            raise ConfigError(f"{key}={value} must be positive")
    if config.data.fraction > 1:
        raise ConfigError(f"data.fraction={config.data.fraction} must be at most 1: it is a share of the examples")
    if config.shard_over == 1:
        raise ConfigError("shard_over=1 shards nothing: set parallelism=ddp, or give the ranks of a machine")
    for key in ("shard_over", "sharded_checkpoints"):
        if getattr(config, key) and config.parallelism is Parallelism.ddp:
            raise ConfigError(f"{key} is of sharded models alone: set parallelism=fsdp2, or leave it out")
    for key in ("max_duration", "eval_interval", "save_interval"):
        value = getattr(config, key)
        if not (value[:-2].isdigit() and value.endswith(("ep", "ba"))):
            raise ConfigError(f"{key}={value!r} is no duration: write epochs like '2ep' or steps like '500ba'")


def _check_families(config: TrainConfig, tasks: Sequence[Task]) -> None:
    """What the tasks' families do not allow."""
    families = {task.family for task in tasks}
    for task in tasks:
        if task.family in (Family.REGRESSION, Family.TAGGING) and len(tasks) > 1:
            raise ConfigError(
                f"tasks: {task.key} is a {task.family.value} task, for fine-tuning only: make it the run's one task, "
                "or leave it out"
            )
    if Family.REGRESSION in families and config.algorithms.log_n_scaling:
        raise ConfigError(
            f"algorithms.log_n_scaling: {tasks[0].key} is a regression task, which has no number of outcomes to scale "
            "by: set algorithms.log_n_scaling=false"
        )
    if config.algorithms.r3f.spectral_norm and Family.CLASSIFICATION not in families:
        raise ConfigError(
            "algorithms.r3f.spectral_norm=true normalises classification heads, and none of the tasks has one: set it "
            "to false"
        )
