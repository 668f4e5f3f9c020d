"""Checkpoints as files: which is the latest, what is inside, does it fit.

A checkpoint is one file that Composer wrote, or a folder of shards. Beside the training state it holds a
:class:`RunRecord`, so that it can be evaluated and exported without the run folder.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from composer import Callback
from numpy._core.multiarray import _reconstruct  # pyright: ignore[reportAttributeAccessIssue]
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.torch_version import TorchVersion
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from recipe.errors import UserError
from recipe.sharded_checkpoint import is_whole, read_shards, shapes_in_shards

FILENAME = "ep{epoch}-ba{batch}-rank{rank}.pt"
BEST = "best-rank0.pt"
CHECKPOINTS = "checkpoints"  # a run's folder of them
BEST_OR_LATEST = "best_or_latest"
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
        labels: Class names by task.
    """

    def __init__(
        self,
        config: str,
        tasks: list[str],
        backbone_config: str,
        tokenizer: PreTrainedTokenizerBase,
        labels: Mapping[str, Sequence[str]],
    ):
        self._record = {
            "config": config,
            "tasks": list(tasks),
            "backbone_config": backbone_config,
            "tokenizer": tokenizer_files(tokenizer),
            "labels": {task: list(names) for task, names in labels.items()},
        }

    def state_dict(self) -> dict[str, Any]:
        return self._record

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore: the record describes the run as it is now."""


def tokenizer_files(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """The tokenizer's files by name, as text."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder, legacy_format=False)  # not SentencePiece's own file, which is no text
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
        examples: Seen in them, each as often as it was.
        labels: Class names by task; older checkpoints have none, nor tasks that need any.
    """

    path: Path
    weights: dict[str, torch.Tensor]
    config: str
    tasks: list[str]
    backbone_config: str
    tokenizer: dict[str, str]
    batch: int
    examples: int
    labels: dict[str, list[str]] = field(default_factory=dict)


# Random states, times and versions, which Composer stores as objects. Nothing else is let in.
_PLAIN_GLOBALS = [np.ndarray, np.dtype, _reconstruct, type(np.dtype(np.uint32)), timedelta, TorchVersion]

_READ_FROM_SHARDS = ("state.model", "state.callbacks.RunRecord", "state.timestamp")


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a checkpoint without running code from it (``weights_only``) and without loading its optimizer into memory.

    Raises:
        CheckpointError: Not there, damaged, or not written by this recipe.
    """
    path = Path(path)
    with _explain_damage(path):
        state = _read_state(path)
        record = dict(state["callbacks"])["RunRecord"]
        weights = {name.removeprefix("network."): value for name, value in state["model"].items()}
        time = state["timestamp"]["Timestamp"]
        return Checkpoint(path, weights, batch=time["batch"], examples=time["sample"], **record)


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each weight by name, as the network names them, without reading the weights.

    Raises:
        CheckpointError: As :func:`read_checkpoint`.
    """
    with _explain_damage(path):
        if path.is_dir():
            return shapes_in_shards(path, "state.model.network")
        return _shapes(read_checkpoint(path).weights)


def _read_state(path: Path) -> dict[str, Any]:
    with torch.serialization.safe_globals(_PLAIN_GLOBALS):
        if path.is_dir():
            return read_shards(path, _READ_FROM_SHARDS)["state"]
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)["state"]


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    if not path.exists():
        raise CheckpointError(f"no checkpoint at {path}: give one of a run, e.g. runs/<name>/checkpoints/{BEST}")
    try:
        yield
    except (pickle.UnpicklingError, RuntimeError, KeyError, EOFError, TypeError, OSError, CheckpointException) as error:
        raise CheckpointError(f"{path} is not a checkpoint of this recipe or is damaged ({error})") from error


def checkpoint_batch(name: str) -> int | None:
    """Optimiser steps behind a checkpoint of this name; None for other names."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def complete_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first; one whose writing was interrupted is passed over."""
    found = [(batch, path) for path in folder.glob("*") if (batch := checkpoint_batch(path.name)) is not None]
    return [path for _, path in sorted(found) if is_complete(path)]


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint in a run's folder."""
    complete = complete_checkpoints(folder)
    return complete[-1] if complete else None


def is_complete(checkpoint: Path) -> bool:
    """Whether all of a checkpoint has been written."""
    return is_whole(checkpoint) if checkpoint.is_dir() else zipfile.is_zipfile(checkpoint)


def find_checkpoint(run: Path, which: str) -> Path:
    """The checkpoint of a run that ``which`` means.

    Args:
        run: The run's folder.
        which: ``latest``, ``best``, ``best_or_latest`` (the best where there is one), or the path of one.

    Raises:
        CheckpointError: There is none.
    """
    folder = run / CHECKPOINTS
    best, latest = folder / BEST, latest_checkpoint(folder)
    named = {"best": best, "latest": latest, BEST_OR_LATEST: best if best.is_file() else latest}
    path = named.get(which, Path(which))
    if path is None or not path.exists():
        wanted = "" if which == BEST_OR_LATEST else f" {which!r}"
        raise CheckpointError(f"no checkpoint{wanted} in {run}: give the folder of a run that has trained, or a file")
    return path


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Loads a checkpoint's weights, all of them and nothing else.

    Raises:
        CheckpointError: It is of another architecture; the message names the first difference.
    """
    check_architecture(network, _shapes(checkpoint.weights), checkpoint.path)
    network.load_state_dict(checkpoint.weights)


def check_architecture(network: nn.Module, found: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Raises :class:`CheckpointError` unless names and shapes are the network's (Composer's resume is not strict)."""
    wanted = _shapes(network.state_dict())
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f"{path} is of another architecture: {name} is {found.get(name, 'absent')} there and "
                f"{wanted.get(name, 'absent')} here; use the run's own configuration, or start a new run with another "
                "run_name"
            )


def check_kind(checkpoint: Path, sharded: bool) -> None:
    """Raises :class:`CheckpointError` unless a run that saves this kind of checkpoint can load this one."""
    if checkpoint.is_dir() and not sharded:
        raise CheckpointError(f"{checkpoint} is sharded: continue with parallelism=fsdp2 sharded_checkpoints=true")
    if checkpoint.is_file() and sharded:
        raise CheckpointError(f"{checkpoint} is one file: continue with sharded_checkpoints=false")
