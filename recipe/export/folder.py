"""The exported folder: backbone, tokenizer, the heads beside them and as folders, and a model card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save_file
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from recipe.algorithms.r3f import remove_spectral_norm
from recipe.checkpoint import BEST, BEST_OR_LATEST, CHECKPOINTS, Checkpoint, find_checkpoint, read_checkpoint
from recipe.errors import UserError
from recipe.export.card import model_card
from recipe.export.head_folders import HeadClass, choose_heads, write_head_folder
from recipe.models import HEADS_JSON, HEADS_WEIGHTS, MultitaskModel, describe_heads, restore_model
from recipe.protocol.result import RESULT, FinetuneResult, load_result
from recipe.report.results import RESULTS, TaskResult, load_results, load_steps


class Exported(NamedTuple):
    """What an exported folder lacks.

    Attributes:
        reasons: Of each head that cannot have a folder, why.
        unscored: Why its card has no scores, and what makes them; None: it has.
    """

    reasons: dict[str, str]
    unscored: str | None


def export(source: str | Path, folder: str | Path, heads: Collection[str] | None = None) -> Exported:
    """Writes the exported folder, beside and renamed.

    Args:
        source: A checkpoint, or the folder of a run: its best checkpoint, else its latest.
        folder: Must not exist.
        heads: Tasks whose heads get a folder of their own (:mod:`recipe.export.head_folders`); None: every head that
            can have one.

    Raises:
        CheckpointError: The run has no checkpoint, or it cannot be read.
        ResultError: The run's result cannot be read.
        UserError: The folder exists already or cannot be written, or a head cannot have a folder.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already: remove it or choose another folder")
    checkpoint = read_checkpoint(find_checkpoint(Path(source), BEST_OR_LATEST) if Path(source).is_dir() else source)
    model, config, _ = restore_model(checkpoint)
    remove_spectral_norm([module for module in model.network.modules() if isinstance(module, nn.Linear)])
    names, kind = list(model.network.heads.keys()), model.network.backbone.config.model_type
    classes, reasons = choose_heads(kind, names, checkpoint.tasks, heads)
    scores = _scores(checkpoint)
    card = model_card(checkpoint, config, classes, reasons, scores)
    beside = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        _write(beside, checkpoint, model, classes)
        (beside / "README.md").write_text(card, encoding="utf-8")
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}): choose a folder that you can write") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Exported(reasons, None if scores else _explain_unscored(checkpoint.path))


def _write(folder: Path, checkpoint: Checkpoint, model: MultitaskModel, classes: Mapping[str, HeadClass]) -> None:
    _save_backbone(model.network.backbone, folder)
    model.tokenizer.save_pretrained(folder)
    heads = model.network.heads
    save_file({name: weight.contiguous() for name, weight in heads.state_dict().items()}, folder / HEADS_WEIGHTS)
    described = describe_heads(model.network.labels, checkpoint.batch)
    (folder / HEADS_JSON).write_text(json.dumps(described, indent=2) + "\n")
    labels = {task["key"]: task["labels"] for task in described["tasks"]}
    for name, form in classes.items():
        weights = heads[name].state_dict()
        write_head_folder(folder, name, form, weights, labels.get(name, ()), checkpoint.tokenizer)


def _scores(checkpoint: Checkpoint) -> list[TaskResult] | FinetuneResult:
    """What an evaluation, or the fine-tuning run itself, found of these weights; empty where neither did."""
    run = checkpoint.path.parent.parent
    path = run / RESULTS
    try:
        if path.is_file() and load_steps(path) == checkpoint.batch:
            return load_results(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    return load_result(run) if checkpoint.path.name == BEST and (run / RESULT).is_file() else []


def _explain_unscored(checkpoint: Path) -> str:
    if checkpoint.parent.name != CHECKPOINTS:
        return f"its card has no scores: they stand in a run's folder, and {checkpoint} is in none"
    run = checkpoint.parent.parent
    other = "" if checkpoint == find_checkpoint(run, BEST_OR_LATEST) else f' ARGS="--checkpoint {checkpoint}"'
    return f"its card has no scores of these weights: make score RUN={run}{other}, then export again"


def _save_backbone(backbone: PreTrainedModel, folder: Path) -> None:
    """Saves an encoder under the names that it has in a model with a head; ``AutoModel`` takes either."""
    weights = backbone.state_dict()
    if not backbone.config.is_encoder_decoder:
        weights = {f"{backbone.base_model_prefix}.{name}": value for name, value in weights.items()}
    backbone.save_pretrained(folder, state_dict=weights, safe_serialization=True, max_shard_size="1TB")  # one file
