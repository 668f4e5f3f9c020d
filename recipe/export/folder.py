"""The exported folder: backbone, tokenizer, the heads beside them and as folders, and a model card."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from recipe.algorithms.r3f import remove_spectral_norm
from recipe.checkpoint import BEST_OR_LATEST, Checkpoint, find_checkpoint, read_checkpoint
from recipe.errors import UserError
from recipe.export.card import model_card
from recipe.export.head_folders import HeadClass, choose_heads, write_head_folder
from recipe.models import HEADS_JSON, HEADS_WEIGHTS, MultitaskModel, describe_heads, restore_model
from recipe.report.results import RESULTS, TaskResult, load_results, load_steps


def export(source: str | Path, folder: str | Path, heads: Collection[str] | None = None) -> dict[str, str]:
    """Writes the exported folder, beside and renamed.

    Args:
        source: A checkpoint, or the folder of a run: its best checkpoint, else its latest.
        folder: Must not exist.
        heads: Tasks whose heads get a folder of their own (:mod:`recipe.export.head_folders`); None: every head that
            can have one.

    Returns:
        Of each head that cannot have a folder the reason.

    Raises:
        CheckpointError: The run has no checkpoint, or it cannot be read.
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
    card = model_card(checkpoint, config, classes, reasons, _scores(checkpoint))
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
    return reasons


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


def _scores(checkpoint: Checkpoint) -> list[TaskResult]:
    """What the evaluation of the run found, if it was of these weights."""
    path = checkpoint.path.parent.parent / RESULTS
    try:
        return load_results(path) if path.is_file() and load_steps(path) == checkpoint.batch else []
    except ValueError as error:
        raise UserError(str(error)) from error


def _save_backbone(backbone: PreTrainedModel, folder: Path) -> None:
    """Saves an encoder under the names that it has in a model with a head; ``AutoModel`` takes either."""
    weights = backbone.state_dict()
    if not backbone.config.is_encoder_decoder:
        weights = {f"{backbone.base_model_prefix}.{name}": value for name, value in weights.items()}
    backbone.save_pretrained(folder, state_dict=weights, safe_serialization=True, max_shard_size="1TB")  # one file
