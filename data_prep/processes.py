"""Worker processes, forked from one that has imported what they need: importing it anew would take each seconds.

A fork of this very process would not do, as the tokenizer's threads do not survive it.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext


def worker_context() -> ForkServerContext:
    """For a pool whose initializer calls :func:`prepare_worker`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["data_prep.convert", "data_prep.overlap.index"])
    return context


def prepare_worker(environment: Mapping[str, str]) -> None:
    """Give a worker the environment of whom it works for, which may have changed since what it is forked from began.

    Processes are the parallelism, so its tokenizer has one thread.
    """
    os.environ.update(environment, TOKENIZERS_PARALLELISM="false")
