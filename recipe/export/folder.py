"""The exported folder: backbone, tokenizer, and every head's weights beside them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from safetensors.torch import save_file
from transformers.modeling_utils import PreTrainedModel

from recipe.algorithms.r3f import find_projections, remove_spectral_norm
from recipe.checkpoint import BEST_OR_LATEST, find_checkpoint, read_checkpoint
from recipe.errors import UserError
from recipe.export.head_folders import choose_heads, write_head_folder
from recipe.models import HEADS_JSON, HEADS_WEIGHTS, describe_heads, restore_model


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
    loaded = read_checkpoint(find_checkpoint(Path(source), BEST_OR_LATEST) if Path(source).is_dir() else source)
    model, _, tokenizer = restore_model(loaded)
    remove_spectral_norm(find_projections(model.network))
    backbone, own_heads = model.network.backbone, model.network.heads
    chosen, reasons = choose_heads(backbone.config.model_type, list(own_heads.keys()), loaded.tasks, heads)
    beside = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        _save_backbone(backbone, beside)
        tokenizer.save_pretrained(beside)
        save_file(
            {name: weight.contiguous() for name, weight in own_heads.state_dict().items()}, beside / HEADS_WEIGHTS
        )
        (beside / HEADS_JSON).write_text(json.dumps(describe_heads(loaded.tasks, loaded.batch), indent=2) + "\n")
        for name, form in chosen.items():
            write_head_folder(beside, name, form, own_heads[name].state_dict(), loaded.tokenizer)
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}): choose a folder that you can write") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return reasons


def _save_backbone(backbone: PreTrainedModel, folder: Path) -> None:
    """Saves an encoder under the names that it has in a model with a head; ``AutoModel`` takes either."""
    weights = backbone.state_dict()
    if not backbone.config.is_encoder_decoder:
        weights = {f"{backbone.base_model_prefix}.{name}": value for name, value in weights.items()}
    backbone.save_pretrained(folder, state_dict=weights, safe_serialization=True, max_shard_size="1TB")  # one file
