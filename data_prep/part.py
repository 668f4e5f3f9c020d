"""A part: what became of one piece of a source's split. Its shards lie in the stream's folder, its record beside them.

The record is written last: a part with a record is complete, and a later run takes it over as it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data_prep.sources import Piece
from recipe.data.stream_files import shard_files


@dataclass(frozen=True)
class Part:
    """One converted piece.

    Attributes:
        settings: Digest of all that decides the part's bytes.
        piece: The rows of the split it was made from.
        shards: MosaicML Streaming's description of each shard, as the stream's index will have it.
        lengths: (N, 3) int32 of its examples, as the stream's lengths.
        read: Source rows taken; ``dropped`` counts of those that became no example, by reason.
        tokens: Real tokens of all rows and targets together.
        unlabelled: Examples whose target is withheld.
    """

    settings: str
    piece: Piece
    shards: Sequence[dict[str, Any]]
    lengths: NDArray[np.int32]
    read: int
    dropped: dict[str, int]
    tokens: int
    unlabelled: int = 0

    @property
    def files(self) -> list[str]:
        """Names of its shards."""
        return shard_files(self.shards)

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "lengths": self.lengths.tolist()})

    @classmethod
    def from_json(cls, text: bytes) -> Part:
        """Raises ``ValueError`` where the text is not a record."""
        try:
            values = json.loads(text)
            lengths = np.array(values["lengths"], np.int32).reshape(-1, 3)
            return cls(**{**values, "piece": tuple(values["piece"]), "lengths": lengths})
        except (TypeError, KeyError) as error:
            raise ValueError(f"not a part's record: {error}") from error


def part_name(number: int) -> str:
    """What the names of a part's files start with; ``number`` is its piece's place among the split's."""
    return f"part-{number:05}"


def record_name(number: int) -> str:
    """Where a part's record is."""
    return f"{part_name(number)}.json"
