"""Where fine-tuning starts from, as a report tells of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from recipe.checkpoint import BEST, BEST_OR_LATEST, CHECKPOINTS, CheckpointError, find_checkpoint, read_checkpoint
from recipe.models import HEADS_JSON
from recipe.protocol.comparison import Seen, Start
from recipe.protocol.config import ProtocolConfig
from recipe.run_folder import CONFIG, FINISHED
from recipe.yaml_keys import ConfigError

PLAIN = "plain"  # the backbone that a run began with


def name_starts(config: ProtocolConfig) -> dict[str, str]:
    """The starts by name, the one to compare with first.

    Raises:
        ConfigError: There are none, or the run to evaluate did not start from pretrained weights.
        CheckpointError: The run to evaluate is none.
    """
    starts = dict(config.starts)
    if config.run is not None:
        backbone = _run_config(config.run)["backbone"]["name"]
        if not backbone:
            raise ConfigError(
                f"run={config.run}: it began with random weights, so there is no backbone to compare with: give starts"
            )
        name = Path(config.run).name
        starts = {PLAIN: backbone, name if name != PLAIN else f"{name}-run": config.run}
    if not starts:
        raise ConfigError("nothing to evaluate: give run=runs/<name>, or starts.<name>=<where> for each start")
    return starts


def describe_starts(starts: Mapping[str, str]) -> list[Start]:
    """What is known of each start; the first is the reference.

    Runs that differ in their strategy are told apart by that alone, others by how many tasks they have learned.
    """
    reference = next(iter(starts))
    described = [_describe(label, source, label == reference) for label, source in starts.items()]
    if len({start.strategy for start in described if start.strategy is not None}) > 1:
        return [replace(start, tasks=None) for start in described]
    return [replace(start, strategy=None) for start in described]


def _describe(label: str, source: str, reference: bool) -> Start:
    if _is_run(source):
        config = _run_config(source)
        return Start(
            label,
            source,
            reference,
            tasks=len(config["tasks"]),
            strategy=config["data"]["strategy"].lower(),
            unfinished=_unfinished(Path(source), config),
            seen=read_seen(Path(source)),
            learned=config["tasks"],
            configuration=(Path(source) / CONFIG).read_text(encoding="utf-8"),
        )
    heads = Path(source) / HEADS_JSON
    if heads.is_file():
        learned = [task["key"] for task in json.loads(heads.read_text(encoding="utf-8"))["tasks"]]
        return Start(label, source, reference, len(learned), learned=learned)
    return Start(label, source, reference, 0 if reference else None)


def _unfinished(run: Path, config: Mapping[str, Any]) -> str | None:
    if (run / FINISHED).is_file():
        return None
    checkpoint = find_checkpoint(run, BEST_OR_LATEST)  # as recipe.export.exported_start takes
    kind, step = "best" if checkpoint.name == BEST else "last", read_checkpoint(checkpoint).batch
    return (
        f"its {kind} checkpoint is used, {checkpoint.name} of step {step:,}; it was to train for "
        f"{config['max_duration']}"
    )


def start_tokenizer(source: str) -> str:
    """Hub name or folder of a start's tokenizer; that of a run is its configuration's."""
    if not _is_run(source):
        return source
    backbone = _run_config(source)["backbone"]
    return backbone.get("tokenizer") or start_tokenizer(backbone["name"])


def read_seen(run: Path) -> Seen | None:
    """What the pre-finetuning run in a folder has cost; None: it is not finished."""
    return Seen(**json.loads((run / FINISHED).read_text(encoding="utf-8"))) if (run / FINISHED).is_file() else None


def _is_run(start: str) -> bool:
    return (Path(start) / CHECKPOINTS).is_dir()


def _run_config(run: str) -> dict[str, Any]:
    path = Path(run) / CONFIG
    if not path.is_file():
        raise CheckpointError(f"{run}: has no {CONFIG}: give the folder of a run, runs/<name>")
    return yaml.safe_load(path.read_text(encoding="utf-8"))
