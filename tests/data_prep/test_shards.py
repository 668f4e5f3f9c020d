"""Shards are Streaming's own, byte for byte, only written faster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from streaming import MDSWriter

from data_prep.shards import ShardWriter

COLUMNS = {"tokens": "ndarray:uint16", "spans": "ndarray:int32", "label": "int", "reference": "json"}


@pytest.fixture
def writers(tmp_path: Path) -> tuple[ShardWriter, MDSWriter]:
    return ShardWriter(str(tmp_path / "ours"), COLUMNS), MDSWriter(out=str(tmp_path / "theirs"), columns=COLUMNS)


@pytest.mark.parametrize("length", [1, 255, 256, 65_535, 65_536])
def test_a_sample_is_packed_as_streaming_packs_it(length: int, writers: tuple[ShardWriter, MDSWriter]):
    sample = {
        "tokens": (np.arange(length) % 60_000).astype(np.uint16),
        "spans": np.arange(2 * length, dtype=np.int32).reshape(length, 2),
        "label": 3,
        "reference": {"group": "a"},
    }
    ours, theirs = writers
    assert ours.encode_sample(sample) == theirs.encode_sample(sample)


@pytest.mark.parametrize(
    "tokens",
    [np.array([1], np.int64), np.array([], np.uint16), np.array(1, np.uint16)],
    ids=["type", "empty", "scalar"],
)
def test_what_streaming_refuses_is_refused(tokens: np.ndarray, writers: tuple[ShardWriter, MDSWriter]):
    with pytest.raises(ValueError):
        writers[0].encode_sample({"tokens": tokens, "spans": np.ones((1, 2), np.int32), "label": 3, "reference": {}})
