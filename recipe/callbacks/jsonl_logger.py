"""The run's metrics as a file: one JSON object a step, the same whether or not the run was interrupted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TextIO

from composer.core import State
from composer.loggers import Logger, LoggerDestination
from composer.utils import dist
from torch import Tensor

from recipe.report.files import write_text
from recipe.run_folder import METRICS


class JSONLLogger(LoggerDestination):
    """Writes what is logged during ``fit`` to ``<folder>/metrics.jsonl``, on rank 0.

    A line holds everything that was logged at one step: ``{"step": 20, "epoch": 0, "loss/train/total": 0.7, ...}``.
    NaN and infinities, which JSON lacks, become null. Composer counts steps when they end: the loss of the first
    batch is at step 0, what follows its update (evaluation, the first batch's throughput) at step 1.

    A fresh run starts a fresh file. A resumed one first cuts off what lies beyond the step that it resumes from, and
    goes on with that step's own line, so nothing is there twice.
    """

    def __init__(self, folder: Path | str) -> None:
        self.path = Path(folder) / METRICS
        self._state: State | None = None
        self._file: TextIO | None = None  # open from the start of fit on, on rank 0
        self._line: dict[str, Any] = {}  # the current step's, on disk from _line_start on
        self._line_start = 0

    def init(self, state: State, logger: Logger) -> None:
        self._state = state

    def fit_start(self, state: State, logger: Logger) -> None:
        if self._file is None and dist.get_global_rank() == 0:
            self._line = cut_lines(self.path, step=int(state.timestamp.batch))
            self._file = self.path.open("a", encoding="utf-8")
            self._line_start = self._file.tell()

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if self._file is None or self._state is None:
            return
        time = self._state.timestamp
        step = int(time.batch) if step is None else step
        if self._line and self._line["step"] != step:
            self._write_line()
            self._line = {}
            self._line_start = self._file.tell()
        self._line |= {"step": step, "epoch": int(time.epoch)}
        self._line |= {name: _json_value(value) for name, value in metrics.items()}

    # Loggers come after the other callbacks in every event: at these two the line is on disk before a checkpoint is.
    def batch_end(self, state: State, logger: Logger) -> None:
        self._write_line()

    def eval_after_all(self, state: State, logger: Logger) -> None:
        self._write_line()

    def fit_end(self, state: State, logger: Logger) -> None:
        self._write_line()

    def close(self, state: State, logger: Logger) -> None:
        if self._file is not None:
            self._write_line()
            self._file.close()
            self._file = None

    def _write_line(self) -> None:
        """Puts the current step's line on disk, in the place of what was there of it."""
        if self._file is None or not self._line:
            return
        self._file.truncate(self._line_start)
        self._file.write(json.dumps(self._line, allow_nan=False) + "\n")
        self._file.flush()


def cut_lines(path: Path, step: int) -> dict[str, Any]:
    """Keeps the lines before ``step`` (atomically) and returns that step's own; makes the file if there is none.

    A run that starts at step 0 keeps nothing, and a last line that a killed run left unfinished is dropped.
    """
    kept, own = [], {}
    for line in path.read_text(encoding="utf-8").splitlines() if step > 0 and path.exists() else ():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break
        if record["step"] < step:
            kept.append(line + "\n")
        elif record["step"] == step:
            own = record
    write_text(path, "".join(kept))
    return own


def _json_value(value: Any) -> Any:
    if isinstance(value, Tensor):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
