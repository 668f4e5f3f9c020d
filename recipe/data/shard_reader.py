"""Streaming's streams and shards, as a verified store needs them: nothing fetched twice, samples decoded fast."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from streaming import Stream
from streaming.base.format.base.reader import Reader
from streaming.base.format.mds.encodings import mds_decode
from streaming.base.format.mds.reader import MDSReader
from streaming.base.storage import CloudDownloader
from streaming.base.world import World

from recipe.data.stream_files import StreamFiles

_Column = tuple[str, int | None, Callable[[bytes], Any]]


class VerifiedStream(Stream):
    """A stream whose index was read and verified before: Streaming would fetch it once more and believe it.

    Args:
        files: Its small files.
        local: Cache folder of its shards.
        downloader: Fetches them; streams of one bucket may share it, because a new client takes longer than a shard.
    """

    def __init__(self, files: StreamFiles, local: str, downloader: CloudDownloader) -> None:
        super().__init__(remote=files.folder, local=local, validate_hash="xxh64")
        self._shards = files.shards
        self._downloader = downloader

    def get_shards(self, world: World, allow_unsafe_types: bool) -> list[Reader]:
        shards: list[Reader] = [ShardReader.from_json(self.local, self.split, shard) for shard in self._shards]
        for shard in shards:
            shard.validate(allow_unsafe_types)
        return shards

    def get_index_size(self) -> int:
        return 0  # in the cache


class ShardReader(MDSReader):
    """Streaming's reader of a shard. It gives the same samples, but does not look up each value's coder anew."""

    def decode_sample(self, data: bytes) -> dict[str, Any]:
        sizes = struct.unpack_from(f"<{self.column_sizes.count(None)}I", data)
        start, varying = 4 * len(sizes), iter(sizes)
        sample = {}
        for name, size, decode in self._columns:
            stop = start + (size or next(varying))
            sample[name] = decode(data[start:stop])
            start = stop
        return sample

    @cached_property
    def _columns(self) -> list[_Column]:
        decoders = map(_decoder, self.column_encodings)
        return list(zip(self.column_names, self.column_sizes, decoders, strict=True))


def _decoder(encoding: str) -> Callable[[bytes], Any]:
    """How a column's bytes become values."""
    if encoding == "int":
        return _decode_int
    if encoding.startswith("ndarray:"):
        return partial(_decode_array, np.dtype(encoding.removeprefix("ndarray:")))
    return partial(mds_decode, encoding)


def _decode_int(value: bytes) -> int:
    return int.from_bytes(value, "little", signed=True)


def _decode_array(dtype: np.dtype[Any], value: bytes) -> NDArray[Any]:
    """An array as MDS stores it: dimensions and width of their sizes in a byte, the sizes, the values."""
    dimensions, width = value[0] >> 2, value[0] & 3
    array = np.frombuffer(value[1 + (dimensions << width) :], dtype)
    if dimensions == 1:
        return array
    return array.reshape(struct.unpack_from(f"<{dimensions}{'BHIQ'[width]}", value, 1))
