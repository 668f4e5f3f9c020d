"""All cells of an evaluation: which there are, and running them side by side, here and on other machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from random import Random
from threading import Event

import torch
from tqdm import tqdm

from recipe.errors import UserError
from recipe.protocol.claims import Claims, Taken, wait_for_others
from recipe.protocol.config import ProtocolConfig, hyperparameters, shared_url
from recipe.protocol.result import FinetuneResult
from recipe.protocol.search import Outcome, search
from recipe.protocol.trial import Cell, Trial, run_trial


def list_cells(config: ProtocolConfig, starts: Mapping[str, str]) -> list[Cell]:
    """Every task with every share of its training data from every start."""
    return [
        Cell(task, label, starts[label], fraction)
        for task, fraction, label in product(config.tasks, config.fractions, starts)
    ]


def count_trials(config: ProtocolConfig) -> int:
    """Fine-tuning runs of one cell."""
    return len(hyperparameters(config.search)) + len(config.seeds) - 1


def run_cells(cells: Sequence[Cell], root: Path, config: ProtocolConfig) -> Outcome:
    """Runs what is not done yet, as many cells side by side as there are devices for.

    A cell that another process is at, here or on a machine that shares the folder or the bucket, is left to it and
    waited for at the end: when its process has finished it, or has died, it is read or taken over. A run that fails
    stops no other.
    """
    outcome, stopping = Outcome(), Event()
    claims = Claims(shared_url(config.bucket, config.name))
    slots = _slots(config)
    jobs = slots.qsize()
    with tqdm(total=len(cells) * count_trials(config), desc="fine-tuning", unit="run") as progress, _pool(jobs) as pool:
        shown: set[Trial] = set()

        def run(trial: Trial) -> FinetuneResult:
            if stopping.is_set():
                raise CancelledError
            devices = slots.get()
            try:
                return run_trial(trial, root, config, devices)
            finally:
                slots.put(devices)
                progress.update(trial not in shown)
                shown.add(trial)

        def run_cell(cell: Cell) -> Outcome:
            with claims.claim(cell.name, cell.folder(root)):
                return search(cell, root, config, run)

        try:
            # Machines that begin together and claim in the same order would take the same.
            waiting = Random().sample(cells, len(cells)) if config.bucket else list(cells)
            while waiting:
                futures = {pool.submit(run_cell, cell): cell for cell in waiting}
                waiting = []
                for future in as_completed(futures):
                    try:
                        found = future.result()
                    except Taken:
                        waiting.append(futures[future])
                        continue
                    except UserError as error:
                        found = Outcome(errors=[str(error)])
                    outcome.runs |= found.runs
                    outcome.errors += found.errors
                    for error in found.errors:
                        tqdm.write(f"failed: {error}")
                if waiting:
                    wait_for_others()
        finally:
            stopping.set()
    return outcome


@contextmanager
def _pool(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each wait for a process; on Ctrl-C, which those processes get, too, nothing new is begun."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _slots(config: ProtocolConfig) -> SimpleQueue[tuple[int, ...]]:
    """The devices of each run that goes side by side with others; none each on a machine without GPUs."""
    gpus = list(range(torch.cuda.device_count()))
    jobs = config.jobs or max(1, len(gpus) // config.ranks)
    slots: SimpleQueue[tuple[int, ...]] = SimpleQueue()
    for job in range(jobs):
        first = job * config.ranks % max(1, len(gpus))
        slots.put(tuple(gpus[first : first + config.ranks]))
    return slots
