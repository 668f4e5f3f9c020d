"""Reading checkpoints that several ranks wrote, each its part: a folder in PyTorch's distributed checkpoint format.

One process reads them, whatever number of ranks wrote them, and runs no code from them: PyTorch's own reader unpickles
the index and small values without restrictions.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import metadata
from torch.distributed.checkpoint._traverse import set_element
from torch.distributed.checkpoint.default_planner import _EmptyStateDictLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader, _StorageInfo
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import ReadItem
from torch.distributed.checkpoint.state_dict_loader import _load_state_dict

INDEX = ".metadata"


def read_shards(folder: Path, keys: Collection[str]) -> dict[str, Any]:
    """Parts of a checkpoint as one process would have saved them.

    Args:
        folder: Holds the index and every rank's files.
        keys: What to read, nested keys joined with dots: ``state.model``.

    Raises:
        pickle.UnpicklingError: It holds something else than tensors and plain values.
        Exception: It is damaged.
    """
    content: dict[str, Any] = {}
    _load_state_dict(content, storage_reader=_Reader(folder), planner=_Planner(keys), no_dist=True)
    return content


def is_whole(folder: Path) -> bool:
    """Whether the index, which is written last, is there, and every file that it names.

    Some are missing where their deletion was interrupted, or where machines do not see each other's files.
    """
    if not (folder / INDEX).is_file():
        return False
    return all(
        (folder / entry.relative_path).is_file() for entry in _Reader(folder).read_metadata().storage_data.values()
    )


def shapes_in_shards(folder: Path, key: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors below a key, by the rest of their names; reads the index alone."""
    entries = _Reader(folder).read_metadata().state_dict_metadata
    return {
        name.removeprefix(f"{key}."): tuple(entry.size)
        for name, entry in entries.items()
        if isinstance(entry, TensorStorageMetadata) and name.startswith(f"{key}.")
    }


class _Reader(FileSystemReader):
    def read_metadata(self) -> Metadata:
        with open(Path(self.path) / INDEX, "rb") as file:
            index = _IndexUnpickler(file).load()
        if not isinstance(index, Metadata):
            raise pickle.UnpicklingError("the index of the shards is none")
        return index


class _Planner(_EmptyStateDictLoadPlanner):
    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        set_element(
            self.original_state_dict, self.mappings[read_item.dest_index.fqn], torch.load(value, weights_only=True)
        )


_INDEX_GLOBALS = {
    (known.__module__, known.__name__): known
    for known in (
        metadata.BytesStorageMetadata,
        metadata.ChunkStorageMetadata,
        metadata.Metadata,
        metadata.MetadataIndex,
        metadata.StorageMeta,
        metadata.TensorProperties,
        metadata.TensorStorageMetadata,
        metadata._MEM_FORMAT_ENCODING,
        _StorageInfo,
        torch.Size,
        torch.serialization._get_layout,
        type(Path()),
    )
}


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        try:
            return _INDEX_GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the index of the shards holds a {module}.{name}") from None
