"""Converting pieces on a Dask cluster; the only module that needs Dask."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence

from distributed import Client, Worker, WorkerPlugin
from distributed.scheduler import KilledWorker
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.convert import ConversionError, Report, Settings, Unit, convert_part
from data_prep.executors import Job, Outcome, watch
from data_prep.part import Part

_CONNECT_SECONDS = 5


class _Prepare(WorkerPlugin):
    """Gives every worker, one that joins or comes back later too, what all pieces need."""

    name = "data_prep"

    settings: Settings
    tokenizer: PreTrainedTokenizerFast
    lock: threading.Lock

    def __init__(self, settings: Settings, tokenizer: PreTrainedTokenizerFast) -> None:
        self._given = settings, tokenizer

    def setup(self, worker: Worker) -> None:
        os.environ["TOKENIZERS_PARALLELISM"] = "false"  # workers are the parallelism
        _Prepare.settings, _Prepare.tokenizer = self._given
        _Prepare.lock = threading.Lock()


def connect(scheduler: str) -> Client:
    """A client of the scheduler at an address such as ``tcp://host:8786``.

    Raises:
        ConversionError: It cannot be reached.
    """
    logging.getLogger("distributed").setLevel(logging.ERROR)  # it reports each attempt to connect
    try:
        return Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, ImportError) as error:
        raise ConversionError(
            f"--scheduler {scheduler}: no Dask scheduler can be reached there ({error}); "
            "start one with `dask scheduler` and give its address, such as tcp://host:8786"
        ) from error


def convert_on_cluster(
    jobs: Sequence[Job], settings: Settings, tokenizer: PreTrainedTokenizerFast, client: Client, report: Report
) -> Iterator[Outcome]:
    """Convert the pieces on the scheduler's workers; a worker's unfinished pieces go to others when it dies.

    Args:
        report: Told how many more source rows were handled, a piece at a time.

    Raises:
        ConversionError: A piece killed one worker after another.
    """
    client.register_plugin(_Prepare(settings, tokenizer))
    executor = client.get_executor(pure=False)
    futures = {executor.submit(_convert, *job): job for job in jobs}
    try:
        for job, outcome in watch(futures, lambda: None):
            if isinstance(outcome, Part):
                report(outcome.read)
            yield job, outcome
    except KilledWorker as error:
        raise ConversionError(
            f"--scheduler: several workers died over one piece ({error.task}); give them more memory and run the same "
            "command again: what is finished stays"
        ) from error
    finally:
        for future in futures:
            future.cancel()


def _convert(unit: Unit, number: int) -> Part:
    with _Prepare.lock:  # a tokenizer serves one thread at a time
        return convert_part(unit, number, _Prepare.settings, _Prepare.tokenizer, lambda _: None)
