"""Where pieces are converted: in this process, in several, or on a Dask cluster. All three give the same parts."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from typing import Any

from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.convert import ConversionError, Report, Settings, Unit, convert_part
from data_prep.part import Part
from data_prep.processes import prepare_worker, worker_context
from recipe.errors import UserError

Job = tuple[Unit, int]  # a piece to convert, by its unit and number
Outcome = tuple[Job, Part | UserError]

_POLL = 0.2  # seconds between two looks at the workers' counts


class _Stopped(Exception):
    """The conversion is being given up."""


class _Worker:
    """What a worker process is given once, at its start."""

    settings: Settings
    tokenizer: PreTrainedTokenizerFast
    counts: Any
    stop: Any


def convert_here(
    jobs: Sequence[Job], settings: Settings, tokenizer: PreTrainedTokenizerFast, report: Report
) -> Iterator[Outcome]:
    """Convert the pieces one after another in this process; a unit of which one has failed is left.

    Args:
        report: Told how many more source rows were handled.
    """
    failed: set[str] = set()
    for job in jobs:
        unit, number = job
        if unit.place in failed:
            continue
        try:
            yield job, convert_part(unit, number, settings, tokenizer, report)
        except UserError as error:
            failed.add(unit.place)
            yield job, error


def convert_in_processes(
    jobs: Sequence[Job], settings: Settings, tokenizer: PreTrainedTokenizerFast, workers: int, report: Report
) -> Iterator[Outcome]:
    """Convert the pieces in several processes of this machine; otherwise as :func:`convert_here`.

    Raises:
        ConversionError: A process died.
    """
    context = worker_context()
    counts, stop = context.Queue(), context.Event()
    given = (dict(os.environ), settings, tokenizer, counts, stop)
    pool = ProcessPoolExecutor(workers, context, initializer=_start, initargs=given)
    try:
        futures = {pool.submit(_convert, *job): job for job in jobs}
        yield from watch(futures, lambda: report(_drain(counts)))
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


def watch(futures: dict[Future[Part], Job], look: Callable[[], object]) -> Iterator[Outcome]:
    """The outcomes of futures as they come; what is left of a failed unit is cancelled.

    Args:
        look: Called now and then, and once at the end.
    """
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=_POLL, return_when=FIRST_COMPLETED)
        look()
        for future in finished:
            if future.cancelled():
                continue
            job = futures[future]
            try:
                yield job, future.result()
            except UserError as error:
                for other in [other for other in pending if futures[other][0] is job[0]]:
                    other.cancel()
                yield job, error
    look()


def _drain(counts: Any) -> int:
    total = 0
    while True:
        try:
            total += counts.get_nowait()
        except queue.Empty:
            return total


def _start(
    environment: Mapping[str, str], settings: Settings, tokenizer: PreTrainedTokenizerFast, counts: Any, stop: Any
) -> None:
    """Prepare a worker process."""
    prepare_worker(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells the workers when to stop
    _Worker.settings, _Worker.tokenizer, _Worker.counts, _Worker.stop = settings, tokenizer, counts, stop
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without this a worker outlives a killed parent, waiting for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _convert(unit: Unit, number: int) -> Part:
    return convert_part(unit, number, _Worker.settings, _Worker.tokenizer, _count)


def _count(rows: int) -> None:
    if _Worker.stop.is_set():
        raise _Stopped
    _Worker.counts.put(rows)
