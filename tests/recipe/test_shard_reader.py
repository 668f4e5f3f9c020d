"""Samples are Streaming's own, only decoded faster."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from streaming import MDSWriter
from streaming.base.format.mds.reader import MDSReader

from recipe.data.manifest import INDEX, columns
from recipe.data.shard_reader import ShardReader
from recipe.tasks.catalogue import Family

ENCODINGS = {
    encoding
    for family in Family
    for token_dtype in ("uint16", "uint32")
    for encoding in columns(family, "validation", token_dtype).values()
}


def test_samples_are_decoded_as_streaming_decodes_them(tmp_path: Path):
    shapes = [shape for length in (1, 255, 256, 65_535, 65_536) for shape in ((length,), (length, 2), (1, length))]
    with MDSWriter(out=str(tmp_path), columns={encoding: encoding for encoding in ENCODINGS}) as writer:
        for shape in shapes:
            writer.write({encoding: value(encoding, shape) for encoding in ENCODINGS})
    (shard,) = json.loads((tmp_path / INDEX).read_text())["shards"]
    theirs = MDSReader.from_json(str(tmp_path), None, shard)
    ours = ShardReader.from_json(str(tmp_path), None, shard)
    for reader in (ours, pickle.loads(pickle.dumps(ours))):  # a spawned worker gets it pickled, after it was used
        for number in range(len(shapes)):
            mine, right = reader[number], theirs[number]
            assert set(mine) == set(right) == ENCODINGS
            for name in ENCODINGS:
                assert type(mine[name]) is type(right[name])
                assert getattr(mine[name], "dtype", None) == getattr(right[name], "dtype", None)
                assert np.array_equal(mine[name], right[name])


def value(encoding: str, shape: tuple[int, ...]) -> Any:
    if encoding.startswith("ndarray:"):
        return np.arange(np.prod(shape)).astype(encoding.removeprefix("ndarray:")).reshape(shape)
    return {"int": -3, "float32": 2.5, "json": {"group": "ä", "answers": []}}[encoding]
