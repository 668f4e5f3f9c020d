"""Stopping and continuing a run without losing or changing anything."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any

import torch
from composer import Callback, Trainer
from composer.core import Event, State
from composer.loggers import Logger
from composer.utils import create_interval_scheduler, dist, reproducibility


class RestoreRNG(Callback):
    """Restores every rank's random state before the first forward of a resumed run.

    Composer restores it only at an epoch's start, or while spinning a loader forward, which a loader that resumes by
    itself never does: without this, dropout after a mid-epoch resume differs from the uninterrupted run's.
    """

    trainer: Trainer | None = None  # set once the Trainer exists

    def before_forward(self, state: State, logger: Logger) -> None:
        if self.trainer is not None and self.trainer._rng_state is not None:
            reproducibility.load_rng_state(self.trainer._rng_state)
            self.trainer._rng_state = None


class StopOnSignal(Callback):
    """Ctrl-C or SIGTERM: finish the step, save a checkpoint, exit with 128 + signal. A second one exits at once.

    Pass :meth:`save_now` as Composer's ``save_interval``.
    """

    def __init__(self, save_interval: str):
        self._due = create_interval_scheduler(save_interval)
        self._signal = 0
        self._stopping = False
        self._previous_handlers: dict[int, Any] = {}

    def save_now(self, state: State, event: Event) -> bool:
        due = self._due(state, event)  # always asked: it remembers the last checkpoint
        return due or (self._stopping and event == Event.BATCH_CHECKPOINT)

    def fit_start(self, state: State, logger: Logger) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous_handlers[number] = signal.signal(number, self._on_signal)

    def close(self, state: State, logger: Logger) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def batch_end(self, state: State, logger: Logger) -> None:
        # Ranks get the signal at different moments but must stop after the same step.
        received = state.device.tensor_to_device(torch.tensor([self._signal]))
        dist.all_reduce(received, reduce_operation="MAX")
        self._signal = int(received.item())
        self._stopping = self._signal > 0

    def batch_start(self, state: State, logger: Logger) -> None:
        if self._stopping:
            if dist.get_global_rank() == 0:
                print(
                    f"stopped after step {state.timestamp.batch.value}: run the same command to go on", file=sys.stderr
                )
            sys.exit(128 + self._signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            sys.exit(128 + number)
        self._signal = number
        if dist.get_global_rank() == 0:
            print("\nstopping: finishing the step and saving a checkpoint (again: stop at once)", file=sys.stderr)
