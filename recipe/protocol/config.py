"""The keys of an evaluation by the protocol: types, defaults and meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Optional

from omegaconf import MISSING, OmegaConf

from recipe.data.objects import BUCKETS, is_bucket
from recipe.protocol.finetune_config import FinetuneConfig, parse_finetune_config, user_tasks_of
from recipe.tasks import UnknownTask, get_task
from recipe.tasks.user import UserTask
from recipe.yaml_keys import ConfigError, parse_keys, read_keys

# OmegaConf reads these annotations at run time and knows Optional[X], not X | None.
# ruff: noqa: UP045

_SET_BY_PROTOCOL = (
    *("run_name", "runs", "seed", "task", "start", "dropout", "keep_weights"),
    *("optimizer.lr", "optimizer.eps", "data.fraction"),
)


@dataclass
class SearchConfig:
    """The fixed search: every combination of these is tried with the first seed, the best one runs with all seeds."""

    lr: list[float] = field(default_factory=lambda: [1.0e-5, 2.0e-5, 3.0e-5])
    eps: list[float] = field(default_factory=lambda: [1.0e-6])
    # null: the backbone's own.
    dropout: list[Optional[float]] = field(default_factory=lambda: [None])


@dataclass
class ProtocolConfig:
    """Fine-tuning from several starts, with the same search and the same seeds for each."""

    # Name of the evaluation and of its folder under `folder`.
    name: str = MISSING
    folder: str = "runs/eval"
    # Machines that do not share that folder take from one another what is done at this URL: s3://<bucket>/eval
    bucket: Optional[str] = None
    # A pre-finetuning run to compare with the backbone that it started from; or say all `starts`.
    run: Optional[str] = None
    # Name -> Hub name, folder or run. The first one is what the others are compared with.
    starts: dict[str, str] = field(default_factory=dict)
    # Task keys; also a user's own that one of the runs to start from has learned.
    tasks: list[str] = MISSING
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3])
    # Shares of the training examples; more than one draws the heat map of the paper's figure 3.
    fractions: list[float] = field(default_factory=lambda: [1.0])
    search: SearchConfig = field(default_factory=SearchConfig)
    # Keys of a fine-tuning run (recipe/finetune.py --help) for all tasks, and for single ones.
    finetune: dict[str, Any] = field(default_factory=dict)
    per_task: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Ranks of one fine-tuning run, and how many runs go side by side. Default: as many as there are GPUs for.
    ranks: int = 1
    jobs: Optional[int] = None
    # Keep every run's weights: they are most of what an evaluation writes.
    keep_weights: bool = False


def load_protocol_config(path: str | Path, overrides: Sequence[str] = ()) -> ProtocolConfig:
    """Reads and checks the configuration of an evaluation, and that of every fine-tuning run it will make.

    Raises:
        ConfigError: With the key at fault.
    """
    return parse_protocol_config(read_keys(path, overrides), str(path))


def parse_protocol_config(given: Any, where: str, user_tasks: Mapping[str, UserTask] | None = None) -> ProtocolConfig:
    """Like :func:`load_protocol_config`, for keys that are read already.

    Args:
        given: The keys.
        where: What errors call their origin.
        user_tasks: Of starts that are not there yet. Those of runs among the starts are known without it.
    """
    config = parse_keys(given, ProtocolConfig, where)
    _add_user_tasks(config, user_tasks or {})
    points = hyperparameters(config.search)
    if not (config.tasks and config.seeds and config.fractions and points):
        raise ConfigError(f"{where}: tasks, seeds, fractions and the lists of search must each name at least one")
    check_bucket(config.bucket, where)
    if config.run is not None and config.starts:
        raise ConfigError(f"{where}: give either run (compared with its own backbone) or starts, not both")
    checked = [(task, points[0]) for task in config.tasks] + [(config.tasks[0], point) for point in points[1:]]
    for task, point in checked:  # every task and every point, which have nothing to do with one another
        finetune_config(config, task, "start", 1.0, point, seed=1, runs="runs", run_name="run")
    for key in config.per_task:  # also of tasks that an override has left out
        try:
            get_task(key)
        except UnknownTask as error:
            raise ConfigError(f"{where}: per_task: {error}") from None
    return config


def _add_user_tasks(config: ProtocolConfig, known: Mapping[str, UserTask]) -> None:
    """A fine-tuning run is told of the user's task that it learns: in its process nothing else knows it."""
    known = dict(known)
    for source in (config.run, *config.starts.values()):
        known |= user_tasks_of(source) if source is not None else {}
    for task in config.tasks:
        told = [keys.get("user_tasks", {}) for keys in (config.finetune, config.per_task.get(task, {}))]
        if task in known and not any(task in section for section in told):
            own = config.per_task.setdefault(task, {})
            own["user_tasks"] = {**own.get("user_tasks", {}), task: asdict(known[task])}


def shared_url(bucket: str | None, name: str) -> str | None:
    """Where machines share an evaluation or a study of this name; None where they do not."""
    return f"{bucket.rstrip('/')}/{name}" if bucket else None


def check_bucket(url: str | None, where: str) -> None:
    """Raises :class:`ConfigError` unless it is of a bucket that can be listed and written, or none."""
    if url is not None and not is_bucket(url):
        raise ConfigError(f"{where}: bucket: {url!r} is no bucket: expected {BUCKETS}")


def hyperparameters(search: SearchConfig) -> list[dict[str, Optional[float]]]:
    """Every combination of the search, by name: ``lr``, ``eps``, ``dropout``."""
    return [
        {"lr": lr, "eps": eps, "dropout": dropout}
        for lr, eps, dropout in product(search.lr, search.eps, search.dropout)
    ]


def finetune_config(
    config: ProtocolConfig,
    task: str,
    start: str,
    fraction: float,
    point: dict[str, Optional[float]],
    *,
    seed: int,
    runs: str,
    run_name: str,
) -> FinetuneConfig:
    """One fine-tuning run of the protocol.

    Raises:
        ConfigError: ``finetune`` or ``per_task`` has a key that such a run has not, or one that the protocol sets.
    """
    own = {
        "run_name": run_name,
        "runs": runs,
        "seed": seed,
        "task": task,
        "start": start,
        "dropout": point["dropout"],
        "optimizer": {"lr": point["lr"], "eps": point["eps"]},
        "data": {"fraction": fraction},
        "keep_weights": config.keep_weights,
        "logging": {"progress_bar": False, "tensorboard": False},
    }
    given = OmegaConf.merge(config.finetune, config.per_task.get(task, {}))
    for key in _SET_BY_PROTOCOL:
        if OmegaConf.select(given, key) is not None:
            raise ConfigError(f"finetune.{key}: the protocol sets it, see starts, tasks, seeds, fractions and search")
    return parse_finetune_config(OmegaConf.merge(given, own), f"finetune of {task}")
