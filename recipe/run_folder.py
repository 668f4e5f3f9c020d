"""A run's folder: runs/<run_name>/ with its configuration, metrics and checkpoints."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from composer.core import State
from composer.utils import dist
from omegaconf import OmegaConf

from recipe.checkpoint import CHECKPOINTS, latest_checkpoint
from recipe.config import TrainConfig, parse_config
from recipe.errors import UserError
from recipe.report.files import write_text
from recipe.yaml_keys import flatten, save_config

CONFIG, METRICS, FINISHED = "config.yaml", "metrics.jsonl", "finished.json"  # in a run's folder

# What may differ between a run and its continuation: it changes nothing that is learned.
_FREE_KEYS = {
    "runs",
    "max_duration",
    "eval_interval",
    "save_interval",
    "keep_checkpoints",
    "checkpoint_store",
    "autoresume",
    "precision",
    "parallelism",
    "shard_over",
    "sharded_checkpoints",
    "activation_checkpointing",
    "logging",
    "data.store",
    "data.cache_limit",
    "data.workers",
    "data.token_budget",
    "data.max_validation_examples",
}


class RunFolderError(UserError):
    """A run's folder that cannot be used."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps everything.

    Attributes:
        path: The folder.
        config_yaml: The merged configuration, as ``config.yaml`` in it.
    """

    path: Path
    config_yaml: str

    @property
    def checkpoints(self) -> Path:
        return self.path / CHECKPOINTS

    @property
    def metrics(self) -> Path:
        return self.path / METRICS

    @classmethod
    def open(cls, config: TrainConfig) -> RunFolder:
        """Makes the folder, or takes up the one that is there.

        Raises:
            RunFolderError: It cannot be written, or holds a run that this configuration does not continue.
        """
        folder = cls(run_path(config), save_config(config))
        latest = latest_checkpoint(folder.checkpoints)
        if any(other != latest for other in dist.all_gather_object(latest)):
            raise RunFolderError(
                f"machines see different checkpoints in {folder.path}: set runs=<a folder that all machines see>, or "
                "use a checkpoint_store"
            )
        if latest is not None:
            if not config.autoresume:
                raise RunFolderError(
                    f"{folder.path} already holds a run and autoresume is false: choose another run_name"
                )
            check_continuation(folder.path, config)
        dist.barrier()
        if dist.get_global_rank() == 0:
            folder._write_config()
        dist.barrier()
        return folder

    def mark_finished(self, state: State) -> None:
        """Writes ``finished.json``, what the run has seen: whoever starts from a run can tell that it is complete."""
        if dist.get_global_rank() == 0:
            time = state.timestamp
            seen = {
                "steps": int(time.batch),
                "examples": int(time.sample),
                "tokens": int(time.token),
                "seconds": round(time.total_wct.total_seconds(), 1) if time.total_wct else None,
            }
            write_text(self.path / FINISHED, json.dumps(seen) + "\n")

    def _write_config(self) -> None:
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            (self.path / FINISHED).unlink(missing_ok=True)  # it may go on for longer
            write_text(self.path / CONFIG, self.config_yaml)
        except OSError as error:
            raise RunFolderError(
                f"cannot write the run's folder {self.path} ({error.strerror}): set runs=<a folder that you can write>"
            ) from error

    @contextmanager
    def shard_cache(self) -> Iterator[str]:
        """A folder for downloaded shards that this process group alone uses, removed at the end."""
        paths = [tempfile.mkdtemp(prefix="shards-") if dist.get_local_rank() == 0 else ""]
        gathered = dist.all_gather_object(paths[0])
        local = gathered[dist.get_global_rank() - dist.get_local_rank()]
        try:
            yield local
        finally:
            if dist.get_local_rank() == 0:
                shutil.rmtree(local, ignore_errors=True)


def check_continuation(path: Path, config: TrainConfig) -> None:
    """Raises :class:`RunFolderError` if the run in a folder differs from ``config`` in what it learns."""
    saved = path / CONFIG
    if not saved.is_file():
        raise RunFolderError(f"{path} has checkpoints but no {CONFIG}: choose another run_name")
    # A key that is newer than the run has its default meaning.
    before = flatten(yaml.safe_load(save_config(parse_config(OmegaConf.load(saved), str(saved)))))
    now = flatten(yaml.safe_load(save_config(config)))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not _is_free(key):
            raise RunFolderError(
                f"{path} holds a run with {key}={before.get(key)!r}, now it is {now.get(key)!r}: choose another "
                "run_name, or restore the key to continue that run"
            )


def run_path(config: TrainConfig) -> Path:
    """Where a configuration's run is."""
    return Path(config.runs) / config.run_name


def _is_free(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in _FREE_KEYS)
