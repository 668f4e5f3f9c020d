"""The exported folder: backbone, tokenizer, and every head's weights beside them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from safetensors.torch import save_file

from recipe.algorithms.r3f import find_projections, remove_spectral_norm
from recipe.checkpoint import BEST_OR_LATEST, find_checkpoint, read_checkpoint
from recipe.errors import UserError
from recipe.models import HEADS_JSON, HEADS_WEIGHTS, describe_heads, restore_model


def export(source: str | Path, folder: str | Path) -> None:
    """Writes the exported folder, beside and renamed.

    Args:
        source: A checkpoint, or the folder of a run: its best checkpoint, else its latest.
        folder: Must not exist.

    Raises:
        CheckpointError: The run has no checkpoint, or it cannot be read.
        UserError: The folder exists already or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already: remove it or choose another folder")
    loaded = read_checkpoint(find_checkpoint(Path(source), BEST_OR_LATEST) if Path(source).is_dir() else source)
    model, _, tokenizer = restore_model(loaded)
    remove_spectral_norm(find_projections(model.network))
    beside = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        model.network.backbone.save_pretrained(beside, safe_serialization=True)
        tokenizer.save_pretrained(beside)
        heads = {name: weight.contiguous() for name, weight in model.network.heads.state_dict().items()}
        save_file(heads, beside / HEADS_WEIGHTS)
        (beside / HEADS_JSON).write_text(json.dumps(describe_heads(loaded.tasks, loaded.batch), indent=2) + "\n")
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}): choose a folder that you can write") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
