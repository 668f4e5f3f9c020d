"""How fast training goes, over all ranks."""

from __future__ import annotations

from collections import deque

from composer.core import Callback, State
from composer.loggers import Logger


class Throughput(Callback):
    """Logs ``throughput/examples_per_s`` and ``throughput/tokens_per_s`` over the last ``window_batches`` steps.

    Both come from Composer's timestamp: counts are summed over ranks, tokens are what the data spec's
    ``get_num_tokens_in_batch`` counts (here real ones, no padding), and its clock stands still during evaluation.
    The first step, which warms up, counts for nothing.
    """

    def __init__(self, window_batches: int = 20) -> None:
        self._marks: deque[tuple[int, int, float]] = deque(maxlen=window_batches + 1)  # examples, tokens, seconds

    def fit_start(self, state: State, logger: Logger) -> None:
        self._marks.clear()

    def batch_end(self, state: State, logger: Logger) -> None:
        time = state.timestamp
        self._marks.append((int(time.sample), int(time.token), time.total_wct.total_seconds()))
        examples, tokens, seconds = (last - first for first, last in zip(self._marks[0], self._marks[-1], strict=True))
        if seconds > 0:
            logger.log_metrics(
                {"throughput/examples_per_s": examples / seconds, "throughput/tokens_per_s": tokens / seconds}
            )
