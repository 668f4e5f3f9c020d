"""The keys of a study: types, defaults and meaning, and the runs that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Optional, cast

from omegaconf import MISSING, DictConfig, OmegaConf

from recipe.config import TrainConfig, parse_config
from recipe.protocol.config import ProtocolConfig, check_bucket, parse_protocol_config, shared_url
from recipe.yaml_keys import ConfigError, parse_keys, read_keys

# OmegaConf reads these annotations at run time and knows Optional[X], not X | None.
# ruff: noqa: UP045


@dataclass
class NestedTasks:
    """Pre-finetuning on more and more tasks, each set part of the next (MUPPET, figure 1)."""

    # In every set: the tasks that are fine-tuned on.
    always: list[str] = field(default_factory=list)
    # Tasks of each set; the largest may be as many as the base has.
    sizes: list[int] = MISSING
    # Decides which tasks join, and in which order.
    seed: int = 1


@dataclass
class StudyConfig:
    """Pre-finetuning runs that differ in one thing, and one evaluation over all of them."""

    # Name of the study and of its folder under `folder`.
    name: str = MISSING
    folder: str = "runs/studies"
    # Machines that do not share that folder take from one another what is done at this URL: s3://<bucket>/studies
    bucket: Optional[str] = None
    # YAML of the pre-finetuning run that all are made of, and keys of it that differ in all of them.
    base: str = MISSING
    overrides: dict[str, Any] = field(default_factory=dict)
    # Name -> keys that differ in this run.
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Or variants by number of tasks, named tasks_10, tasks_20, ...
    nested_tasks: Optional[NestedTasks] = None
    # Name -> Hub name, folder or run that the runs are compared with, the reference first. Default: the one pretrained
    # backbone that all of them began with.
    starts: dict[str, str] = field(default_factory=dict)
    # Ranks of a pre-finetuning run. Default: all GPUs.
    ranks: Optional[int] = None
    # Keys of the evaluation (recipe/evaluate.py --help) except name, folder, bucket, run and starts: those are the
    # study's.
    evaluation: dict[str, Any] = field(default_factory=dict)


def load_study_config(path: str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Reads and checks the configuration of a study, and that of every run it will make.

    Raises:
        ConfigError: With the key at fault.
    """
    config = parse_keys(read_keys(path, overrides), StudyConfig, str(path))
    check_bucket(config.bucket, str(path))
    if bool(config.variants) == (config.nested_tasks is not None):
        raise ConfigError(f"{path}: give either variants or nested_tasks: they are the runs to compare")
    study_evaluation(config, study_runs(config))
    return config


def study_runs(config: StudyConfig) -> dict[str, TrainConfig]:
    """The study's pre-finetuning runs by name.

    Raises:
        ConfigError: One of them cannot be run.
    """
    base = cast(DictConfig, OmegaConf.merge(read_keys(config.base), config.overrides))
    variants = config.variants
    if config.nested_tasks is not None:
        variants = _nested(config.nested_tasks, list(base["tasks"]))
    own = {"runs": str(Path(config.folder) / config.name / "runs")}
    if shared := shared_url(config.bucket, config.name):
        own["checkpoint_store"] = f"{shared}/runs"
    return {
        name: parse_config(OmegaConf.merge(base, keys, own, {"run_name": name}), f"variant {name} of {config.name}")
        for name, keys in variants.items()
    }


def study_evaluation(config: StudyConfig, runs: dict[str, TrainConfig]) -> ProtocolConfig:
    """The study's evaluation: every run against its ``starts``, or else the backbone that all began with.

    Raises:
        ConfigError: Without ``starts``, the runs began with different backbones, or with random weights; or one of
            ``starts`` has a run's name.
    """
    references = config.starts or _common_backbone(config, runs)
    for name in references.keys() & runs.keys():
        raise ConfigError(f"{config.name}: starts.{name}: a run of the study has this name; choose another")
    starts = references | {name: str(Path(run.runs) / name) for name, run in runs.items()}
    own = {
        "name": "evaluation",
        "folder": str(Path(config.folder) / config.name),
        "bucket": shared_url(config.bucket, config.name),
        "starts": starts,
    }
    for key in (*own, "run"):
        if key in config.evaluation:
            raise ConfigError(f"{config.name}: evaluation.{key}: the study sets it")
    user_tasks = {key: entry for run in runs.values() for key, entry in run.user_tasks.items()}
    given = OmegaConf.create({**config.evaluation, **own})
    return parse_protocol_config(given, f"evaluation of {config.name}", user_tasks)


def _common_backbone(config: StudyConfig, runs: dict[str, TrainConfig]) -> dict[str, str]:
    backbones = {run.backbone.name for run in runs.values()}
    if len(backbones) > 1 or "" in backbones:
        raise ConfigError(
            f"{config.name}: its runs begin with {', '.join(sorted(name or 'random weights' for name in backbones))}; "
            "let all begin with the same pretrained backbone, to which they are compared, or give starts"
        )
    (backbone,) = backbones
    return {Path(backbone).name: backbone}


def _nested(nested: NestedTasks, tasks: list[str]) -> dict[str, dict[str, Any]]:
    strangers = [task for task in nested.always if task not in tasks]
    if strangers:
        raise ConfigError(f"nested_tasks.always: {strangers[0]} is not one of the base's tasks")
    smallest, largest = min(nested.sizes), max(nested.sizes)
    if smallest < max(1, len(nested.always)) or largest > len(tasks):
        raise ConfigError(
            f"nested_tasks.sizes: each must lie between {max(1, len(nested.always))}, the tasks in every set, and "
            f"{len(tasks)}, the base's"
        )
    others = [task for task in tasks if task not in nested.always]
    order = [*nested.always, *Random(nested.seed).sample(others, len(others))]
    return {f"tasks_{size:02d}": {"tasks": order[:size]} for size in sorted(nested.sizes)}
