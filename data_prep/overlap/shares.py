"""Matches summed up: how much of each stream is found in each other one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.overlap.index import KeyIndex
from data_prep.overlap.match import KINDS, Matches


@dataclass(frozen=True)
class Share:
    """How many examples of one stream were found in another, each under the closest kind only.

    Attributes:
        of: Name of the stream whose ``examples`` were looked up; ``found_in`` that of the other.
        witnesses: For each kind one example and its match, as numbers of the index.
    """

    of: str
    found_in: str
    examples: int
    exact: int
    near: int
    text: int
    witnesses: dict[str, tuple[int, int]]

    @property
    def duplicates(self) -> float:
        """Share of the examples that the other stream has, word for word or nearly."""
        return (self.exact + self.near) / self.examples

    @property
    def any(self) -> float:
        """Share of the examples of which the other stream has at least one text."""
        return (self.exact + self.near + self.text) / self.examples


def sum_up(index: KeyIndex, matches: Matches) -> list[Share]:
    """The pairs of streams that have anything in common, those with most duplicates first."""
    size = len(index.streams)
    counts: dict[str, NDArray[np.int64]] = {}
    witnesses: dict[tuple[str, int], tuple[int, int]] = {}
    for kind in KINDS:
        pairs = matches.of(kind)
        cells = index.stream_of[pairs[:, 0]].astype(np.int64) * size + index.stream_of[pairs[:, 1]]
        counts[kind] = np.bincount(cells, minlength=size * size)
        for cell, place in zip(*np.unique(cells, return_index=True), strict=True):
            witnesses[kind, int(cell)] = (int(pairs[place, 0]), int(pairs[place, 1]))
    shares = [
        Share(
            of=index.streams[cell // size].name,
            found_in=index.streams[cell % size].name,
            examples=index.streams[cell // size].files.manifest.written,
            **{kind: int(counts[kind][cell]) for kind in KINDS},
            witnesses={kind: witnesses[kind, cell] for kind in KINDS if (kind, cell) in witnesses},
        )
        for cell in np.flatnonzero(sum(counts.values())).tolist()
    ]
    return sorted(shares, key=lambda share: (-share.duplicates, -share.any, share.of, share.found_in))
