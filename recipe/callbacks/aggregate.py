"""One number for an evaluation during training, and the weights of the evaluation where it was best."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils.checkpoint import save_checkpoint

from recipe.checkpoint import BEST
from recipe.report.results import aggregate_primary


def evaluation_aggregate(state: State, primary_metrics: Mapping[str, str]) -> float:
    """The last evaluation's aggregate: the report's own definition over the metrics ``<task>/<metric>``.

    Args:
        state: After an evaluation; the same on every rank.
        primary_metrics: Primary metric by task.

    Raises:
        ValueError: A task's metric was not evaluated.
    """
    names = {task: f"{task}/{metric}" for task, metric in primary_metrics.items()}
    missing = [name for name in names.values() if name not in state.eval_metric_values]
    if missing:
        raise ValueError(
            f"the aggregate needs metrics that were not evaluated: {', '.join(missing)}; "
            f"evaluated: {', '.join(state.eval_metric_values) or 'none'}; evaluate all tasks together"
        )
    return aggregate_primary({task: float(state.eval_metric_values[name]) for task, name in names.items()})


class Aggregate(Callback):
    """Logs ``metrics/aggregate`` after every evaluation.

    Args:
        primary_metrics: Primary metric by task.
    """

    def __init__(self, primary_metrics: Mapping[str, str]) -> None:
        self.primary_metrics = dict(primary_metrics)

    def eval_after_all(self, state: State, logger: Logger) -> None:
        logger.log_metrics({"metrics/aggregate": evaluation_aggregate(state, self.primary_metrics)})


class BestCheckpoint(Callback):
    """Keeps the weights of the evaluation with the highest aggregate in ``<folder>/best-rank0.pt``.

    A Composer checkpoint without what only resuming needs (optimizer, random states), hence a third of the size: it is
    for evaluating and exporting. The best value so far is in every checkpoint, so a resumed run only replaces what it
    improves on.

    Args:
        folder: A local folder.
        tasks: Keys of those whose aggregate counts. Default: all that the evaluation has.
    """

    def __init__(self, folder: Path | str, tasks: Collection[str] | None = None) -> None:
        self.path = Path(folder) / BEST
        self.tasks = tasks
        self.best = float("-inf")

    def fit_start(self, state: State, logger: Logger) -> None:
        """Finds impossible combinations before the first step rather than after the first evaluation."""
        _aggregate_callback(state)

    def eval_after_all(self, state: State, logger: Logger) -> None:
        aggregate = last_aggregate(state, self.tasks)
        if aggregate > self.best:
            self.best = aggregate
            # A collective: every rank gives its part, rank 0 gets a file.
            with _whole_weights_alone(state):
                partial = save_checkpoint(state, str(self.path.with_name(f".partial-{BEST}")), ignore_keys=_drop_rest)
            if partial is not None:
                os.replace(partial, self.path)
                logger.upload_file(self.path.name, self.path, overwrite=True)

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]


def last_aggregate(state: State, tasks: Collection[str] | None = None) -> float:
    """The aggregate that the run's :class:`Aggregate` callback logs for the last evaluation, or that of some tasks.

    Raises:
        ValueError: There is no such callback, or a task's metric was not evaluated.
    """
    metrics = _aggregate_callback(state).primary_metrics
    return evaluation_aggregate(state, metrics if tasks is None else {task: metrics[task] for task in tasks})


def _aggregate_callback(state: State) -> Aggregate:
    for callback in state.callbacks:
        if isinstance(callback, Aggregate):
            return callback
    raise ValueError("BestCheckpoint compares aggregates: add the Aggregate callback to the Trainer's callbacks")


@contextmanager
def _whole_weights_alone(state: State) -> Iterator[None]:
    """Within it the state is saved as one file, even where the run's checkpoints are sharded, and without optimizer."""
    config, attributes = state.fsdp_config, state.serialized_attributes
    kind = None if config is None else config.state_dict_type
    state.serialized_attributes = [name for name in attributes if name not in ("optimizers", "schedulers")]
    if config is not None:
        config.state_dict_type = "full"
    try:
        yield
    finally:
        state.serialized_attributes = attributes
        if config is not None and kind is not None:
            config.state_dict_type = kind


def _drop_rest(content: dict[str, Any]) -> None:
    """Leaves tensors, plain values and the timestamp's durations."""
    del content["rng"], content["state"]["metadata"]
