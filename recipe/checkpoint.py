"""Checkpoints as files: which is the latest, what is inside, does it fit.

A checkpoint is one file that Composer wrote. Beside the training state it holds a :class:`RunRecord`, so that it can be
evaluated and exported without the run folder.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer import Callback
from numpy._core.multiarray import _reconstruct  # pyright: ignore[reportAttributeAccessIssue]
from torch import nn
from torch.torch_version import TorchVersion
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from recipe.errors import UserError

FILENAME = "ep{epoch}-ba{batch}-rank{rank}.pt"
BEST = "best-rank0.pt"
SHARDS_INDEX = ".metadata"  # of a sharded checkpoint, a folder; written last
_NAME = re.compile(r"ep\d+-ba(\d+)(-rank0\.pt)?")  # a file, or a folder of shards


class CheckpointError(UserError):
    """A checkpoint that is not there, is damaged, or belongs to another model."""


class RunRecord(Callback):
    """Puts into every checkpoint what is needed to use it alone.

    Args:
        config: The merged configuration as YAML.
        tasks: Keys of the tasks.
        backbone_config: The backbone's Hugging Face configuration as a dictionary of plain values.
        tokenizer: Its files are stored as text.
    """

    def __init__(self, config: str, tasks: list[str], backbone_config: str, tokenizer: PreTrainedTokenizerBase):
        self._record = {
            "config": config,
            "tasks": list(tasks),
            "backbone_config": backbone_config,
            "tokenizer": tokenizer_files(tokenizer),
        }

    def state_dict(self) -> dict[str, Any]:
        return self._record

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: the record describes the run as it is now."""


def tokenizer_files(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """The tokenizer's files by name, as text."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds besides the training state.

    Attributes:
        weights: Parameters and buffers by name, as the network (backbone and heads) names them.
        config: The run's merged configuration as YAML.
        tasks: Keys of the tasks.
        backbone_config: The backbone's Hugging Face configuration as JSON.
        tokenizer: The tokenizer's files by name.
        batch: Optimiser steps taken.
    """

    path: Path
    weights: dict[str, torch.Tensor]
    config: str
    tasks: list[str]
    backbone_config: str
    tokenizer: dict[str, str]
    batch: int


# Random states, times and versions, which Composer stores as objects. Nothing else is let in.
_PLAIN_GLOBALS = [np.ndarray, np.dtype, _reconstruct, type(np.dtype(np.uint32)), timedelta, TorchVersion]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint without running code from it (``weights_only``) and without loading its optimizer into memory.

    Raises:
        CheckpointError: Not there, damaged, or not written by this recipe.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}: give the file of a run, e.g. runs/<name>/checkpoints/{BEST}")
    try:
        with torch.serialization.safe_globals(_PLAIN_GLOBALS):
            content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        state = content["state"]
        record = dict(state["callbacks"])["RunRecord"]
        weights = {name.removeprefix("network."): value for name, value in state["model"].items()}
        return Checkpoint(path, weights, batch=state["timestamp"]["Timestamp"]["batch"], **record)
    except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, TypeError, OSError) as error:
        raise CheckpointError(f"{path} is not a checkpoint of this recipe or is damaged ({error})") from error


def checkpoint_batch(name: str) -> int | None:
    """Optimiser steps behind a checkpoint of this name; None for other names."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def complete_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first; one whose writing was interrupted is passed over."""
    found = [(batch, path) for path in folder.glob("*") if (batch := checkpoint_batch(path.name)) is not None]
    return [path for _, path in sorted(found) if _is_complete(path)]


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in a run's folder."""
    complete = complete_checkpoints(folder)
    return complete[-1] if complete else None


def _is_complete(checkpoint: Path) -> bool:
    return (checkpoint / SHARDS_INDEX).is_file() if checkpoint.is_dir() else zipfile.is_zipfile(checkpoint)


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Loads a checkpoint's weights, all of them and nothing else.

    Raises:
        CheckpointError: It is of another architecture; the message names the first difference.
    """
    check_architecture(network, checkpoint)
    network.load_state_dict(checkpoint.weights)


def check_architecture(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Raises :class:`CheckpointError` unless names and shapes are the network's (Composer's resume is not strict)."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in checkpoint.weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f"{checkpoint.path} is of another architecture: {name} is {found.get(name, 'absent')} there and "
                f"{wanted.get(name, 'absent')} here; use the run's own configuration, or start a new run with another "
                "run_name"
            )
