"""Writing the MDS shards of one part."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from streaming import MDSWriter
from streaming.base.format.mds.encodings import mds_encode

from data_prep.folder import explain_os_errors


class ShardWriter(MDSWriter):
    """Streaming's writer of compressed, hashed shards, which says where it could not write."""

    def __init__(self, folder: str, columns: dict[str, str]) -> None:
        super().__init__(out=folder, columns=columns, compression="zstd", hashes=["xxh64"])

        layout = zip(self.column_names, self.column_encodings, self.column_sizes, strict=True)
        self._packers = [(name, _packer(encoding), size is None) for name, encoding, size in layout]

    def encode_sample(self, sample: dict[str, Any]) -> bytes:
        """The bytes that Streaming makes of a sample, which takes it longer than tokenising the text."""
        data = [pack(sample[name]) for name, pack, _ in self._packers]
        sizes = [len(datum) for datum, (*_, varies) in zip(data, self._packers, strict=True) if varies]
        return struct.pack(f"<{len(sizes)}I", *sizes) + b"".join(data)

    def flush_shard(self) -> None:
        with explain_os_errors(self.local):
            super().flush_shard()


def _packer(encoding: str) -> Callable[[Any], bytes]:
    """How a column's values become bytes."""
    if encoding == "int":
        return struct.Struct("<q").pack
    if encoding.startswith("ndarray:"):
        return partial(_pack_array, encoding, np.dtype(encoding.removeprefix("ndarray:")))
    return partial(mds_encode, encoding)


def _pack_array(encoding: str, dtype: np.dtype[Any], array: NDArray[Any]) -> bytes:
    """An array as MDS stores it: dimensions and width of their sizes in a byte, the sizes, the values."""
    if array.dtype != dtype or not array.size or not array.ndim:
        return mds_encode(encoding, array)  # says what is wrong with it
    largest = max(array.shape)
    width, code = (0, "B") if largest < 1 << 8 else (1, "H") if largest < 1 << 16 else (2, "I")
    return struct.pack(f"<B{array.ndim}{code}", array.ndim << 2 | width, *array.shape) + array.tobytes()


@contextmanager
def write_shards(folder: str, columns: dict[str, str]) -> Iterator[ShardWriter]:
    """A writer whose ``shards`` are complete after the block.

    Its own ``finish`` is not used: it writes an index, after an exception as well, and waits for uploads by the second.
    """
    writer = ShardWriter(folder, columns)
    try:
        yield writer
        if writer.new_samples:
            writer.flush_shard()
    finally:
        writer.cancel_future_jobs()


def rename_shard(shard: dict[str, Any], folder: str, name: str) -> dict[str, Any]:
    """Give a shard and its description a name that no other part of the stream uses."""
    raw, packed = f"{name}.mds", f"{name}.mds.zstd"
    os.rename(os.path.join(folder, shard["zip_data"]["basename"]), os.path.join(folder, packed))
    return {
        **shard,
        "raw_data": {**shard["raw_data"], "basename": raw},
        "zip_data": {**shard["zip_data"], "basename": packed},
    }
