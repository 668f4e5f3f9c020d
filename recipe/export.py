"""Checkpoint -> Hugging Face folder with heads, and back.

    python -m recipe.export runs/roberta_base/checkpoints/best-rank0.pt exported/roberta_base

The folder holds what ``AutoModel.from_pretrained`` and ``AutoTokenizer.from_pretrained`` load, and beside it
heads.safetensors (every head's weights) and heads.json (the tasks and their labels). A run whose ``backbone.name`` is
such a folder starts from these weights and re-uses the heads of the tasks it shares.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from recipe.algorithms.r3f import remove_spectral_norm
from recipe.checkpoint import read_checkpoint
from recipe.errors import UserError
from recipe.models import HEADS_JSON, HEADS_WEIGHTS, describe_heads, restore_model


def export(checkpoint: str | Path, folder: str | Path) -> None:
    """Writes the exported folder, beside and renamed.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        UserError: The folder exists already or cannot be written.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already: remove it or choose another folder")
    loaded = read_checkpoint(checkpoint)
    model, _, tokenizer = restore_model(loaded)
    remove_spectral_norm([module for module in model.network.modules() if isinstance(module, nn.Linear)])
    beside = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        model.network.backbone.save_pretrained(beside, safe_serialization=True)
        tokenizer.save_pretrained(beside)
        heads = {name: weight.contiguous() for name, weight in model.network.heads.state_dict().items()}
        save_file(heads, beside / HEADS_WEIGHTS)
        (beside / HEADS_JSON).write_text(
            json.dumps(describe_heads(model.network.labels, loaded.batch), indent=2) + "\n"
        )
        beside.rename(folder)
    except OSError as error:
        raise UserError(f"cannot write {folder} ({error.strerror}): choose a folder that you can write") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m recipe.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="a run's checkpoint, runs/<name>/checkpoints/<file>.pt")
    parser.add_argument("folder", help="folder to write; must not exist")
    arguments = parser.parse_args()
    try:
        export(arguments.checkpoint, arguments.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"written: {arguments.folder}. Load it with AutoModel.from_pretrained({arguments.folder!r})")


if __name__ == "__main__":
    main()
