"""A StreamingDataset that takes its shared memory without meeting another job's, and gives it back when it goes."""

from __future__ import annotations

import atexit
import gc
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from unittest.mock import patch

from composer.utils import dist
from filelock import FileLock
from streaming import Stream, StreamingDataset
from streaming.base.shared import SharedMemory, prefix


def open_dataset(streams: Sequence[Stream], cache_limit: str | None) -> StreamingDataset:
    """Streams as one dataset, to be read by index.

    Streaming keeps a dataset's shared memory until the process ends and a lock's file for ever: six open files for
    each dataset, of the 1,024 that most systems allow, and slower starts from run to run. Here they end with the
    dataset.

    Raises:
        ValueError: A stream's cache folder is in use, or ``cache_limit`` is too little.
    """
    with _alone_on_this_machine(), _names_looked_at() as looked_at:
        dataset = StreamingDataset(streams=streams, batch_size=1, shuffle=False, cache_limit=cache_limit)
    _release([memory for memory in looked_at if memory is not dataset._locals_shm])
    arrays = [
        dataset._shared_barrier._arr,
        dataset._next_epoch.arr,
        dataset._cache_usage.arr,
        dataset._shard_states,
        dataset._shard_access_times,
    ]
    memory = [dataset._locals_shm, *(array.shm for array in arrays)]
    weakref.finalize(dataset, _give_back, memory, dataset._cache_filelock_path, os.getpid())
    return dataset


@contextmanager
def _alone_on_this_machine() -> Iterator[None]:
    """One job at a time: Streaming looks for a free name for its shared memory first and takes it later.

    All ranks of a job must find the same name, so the first of a machine locks for the others, and none gives a name
    back meanwhile.
    """
    lock = FileLock(os.path.join(tempfile.gettempdir(), f"streaming-{os.getuid()}.lock"))
    if dist.get_world_size() > 1:
        gc.collect()
    if dist.get_local_rank() == 0:
        lock.acquire()
    try:
        dist.barrier()
        yield
        dist.barrier()
    finally:
        lock.release()


@contextmanager
def _names_looked_at() -> Iterator[list[SharedMemory]]:
    """What Streaming opens to see which names are taken, and would leave open: those of killed jobs stay for ever."""
    opened: list[SharedMemory] = []

    class Recorded(SharedMemory):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            opened.append(self)

    with patch.object(prefix, "SharedMemory", Recorded):
        yield opened


def _give_back(memory: list[SharedMemory], lock: str, process: int) -> None:
    if os.getpid() != process:  # a loader's worker, which has a copy
        return
    _release(memory)
    if dist.get_local_rank() == 0:
        with suppress(FileNotFoundError):
            os.remove(lock)


def _release(memory: list[SharedMemory]) -> None:
    for one in memory:
        atexit.unregister(one.cleanup)  # by then the name may be somebody else's
        one.cleanup()
