"""Converting units in several processes at once, and watching them."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Any

from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.convert import ConversionError, Settings, Unit, convert_unit
from recipe.data.manifest import Manifest
from recipe.errors import UserError

Done = Callable[[Unit, Manifest], None]

_POLL = 0.2  # seconds between two looks at the workers' counts


class _Stopped(Exception):
    """The conversion is being given up."""


class _Worker:
    """What a worker process is given once, at its start."""

    settings: Settings
    tokenizer: PreTrainedTokenizerFast
    counts: Any
    stop: Any


def convert_units(
    units: Sequence[Unit],
    settings: Settings,
    tokenizer: PreTrainedTokenizerFast,
    workers: int,
    report: Callable[[int], None],
    done: Done,
) -> list[Exception]:
    """Convert units, the largest first, and go on with the others when one fails.

    Args:
        report: Told how many more rows were handled, all processes together.
        done: Told of each finished unit.

    Returns:
        The errors of the units that failed, fit to be shown to the user. Anything else is raised.
    """
    units = sorted(units, key=lambda unit: -unit.rows)
    if min(workers, len(units)) <= 1:
        return _convert_here(units, settings, tokenizer, report, done)
    context = multiprocessing.get_context("spawn")  # the tokenizer's threads do not survive a fork
    counts, stop = context.Queue(), context.Event()
    pool = ProcessPoolExecutor(
        min(workers, len(units)), context, initializer=_start, initargs=(settings, tokenizer, counts, stop)
    )
    try:
        futures = {pool.submit(_convert, unit): unit for unit in units}
        return _watch(futures, counts, report, done)
    except BrokenProcessPool as error:
        raise ConversionError(
            "a worker process died (killed, or out of memory); run the same command again, with fewer --workers if "
            "memory is short: what is finished stays"
        ) from error
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _convert_here(
    units: Sequence[Unit],
    settings: Settings,
    tokenizer: PreTrainedTokenizerFast,
    report: Callable[[int], None],
    done: Done,
) -> list[Exception]:
    errors: list[Exception] = []
    for unit in units:
        try:
            done(unit, convert_unit(unit, settings, tokenizer, report))
        except UserError as error:
            errors.append(error)
    return errors


def _watch(
    futures: dict[Future[Manifest], Unit], counts: Any, report: Callable[[int], None], done: Done
) -> list[Exception]:
    errors: list[Exception] = []
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_COMPLETED)
        report(_drain(counts))
        for future in finished:
            try:
                done(futures[future], future.result())
            except UserError as error:
                errors.append(error)
    report(_drain(counts))
    return errors


def _drain(counts: Any) -> int:
    total = 0
    while True:
        try:
            total += counts.get_nowait()
        except queue.Empty:
            return total


def _start(settings: Settings, tokenizer: PreTrainedTokenizerFast, counts: Any, stop: Any) -> None:
    """Prepare a worker process."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # processes are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells the workers when to stop
    _Worker.settings, _Worker.tokenizer, _Worker.counts, _Worker.stop = settings, tokenizer, counts, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this a worker outlives a killed parent, waiting for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _convert(unit: Unit) -> Manifest:
    return convert_unit(unit, _Worker.settings, _Worker.tokenizer, _count)


def _count(rows: int) -> None:
    if _Worker.stop.is_set():
        raise _Stopped
    _Worker.counts.put(rows)
