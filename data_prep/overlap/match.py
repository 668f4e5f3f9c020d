"""Which examples of different streams are the same: joins of equal keys, and a check of what only looks near.

An example (query) is matched with a stream (target) if at least one example of that stream equals it; one such
example is kept as the witness. Evaluation sets are not compared with one another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_prep.overlap.index import KeyIndex
from data_prep.overlap.keys import BANDS, Keys, jaccard

KINDS = ("exact", "near", "text")
SIMILARITY = 0.8  # least Jaccard similarity of near duplicates

_WITNESSES = 4  # candidates that a stream may offer for a band's key: bounds the work where a template made the text
_BLOCK = 1 << 16  # keys that are joined at a time

Pairs = NDArray[np.int64]  # (P, 2) numbers of examples


@dataclass(frozen=True)
class Matches:
    """For each kind (P, 2): a query and its witness; each query once for each target stream."""

    exact: Pairs
    near: Pairs
    text: Pairs

    def of(self, kind: str) -> Pairs:
        return getattr(self, kind)


def find_matches(index: KeyIndex, advance: Callable[[], None]) -> Matches:
    """All matches; ``near`` has those that are not exact, ``text`` those that are neither.

    Args:
        advance: Told of each of the ``BANDS + 2`` joins and of the check that follows.
    """
    exact = _one_witness(index, _join(index, *index.whole(), most=1))
    advance()
    near = _one_witness(index, _without(index, _verify(index, _near_candidates(index, exact, advance)), exact))
    advance()
    text = _one_witness(index, _join(index, *index.texts(), most=1))
    advance()
    return Matches(exact, near, _without(index, _without(index, text, exact), near))


def _join(index: KeyIndex, keys: Keys, owners: NDArray[np.int64], most: int) -> Pairs:
    """Pairs of examples of different streams that share a key, with at most ``most`` witnesses of a stream for a key.

    Args:
        keys: (K,); ``owners`` (K,) the example of each, in ascending order.
    """
    order = np.argsort(keys, kind="stable")  # owners are sorted already, and follow the streams' order
    keys, owners = keys[order], owners[order]
    streams = index.stream_of[owners]
    if not len(keys):
        return np.zeros((0, 2), np.int64)
    # Only keys that more than one stream has are worth a look.
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    ends = np.r_[starts[1:], len(keys)]
    shared = np.repeat(streams[starts] != streams[ends - 1], ends - starts)
    keys, owners, streams = keys[shared], owners[shared], streams[shared]
    witnesses = _ranks(keys, streams) < most
    witness_keys, witness_owners = keys[witnesses], owners[witnesses]
    pairs = [np.zeros((0, 2), np.int64)]
    for start in range(0, len(keys), _BLOCK):
        block = slice(start, start + _BLOCK)
        left = np.searchsorted(witness_keys, keys[block], side="left")
        counts = np.searchsorted(witness_keys, keys[block], side="right") - left
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = np.stack([np.repeat(owners[block], counts), witness_owners[np.repeat(left, counts) + within]], axis=1)
        pairs.append(found[_comparable(index, found)])
    return np.concatenate(pairs)


def _ranks(keys: Keys, streams: NDArray[np.int16]) -> NDArray[np.int64]:
    """The how manieth each entry is of those with its key and stream; both sorted."""
    first = np.flatnonzero(np.r_[True, (keys[1:] != keys[:-1]) | (streams[1:] != streams[:-1])][: len(keys)])
    return np.arange(len(keys)) - np.repeat(first, np.diff(np.r_[first, len(keys)]))


def _comparable(index: KeyIndex, pairs: Pairs) -> NDArray[np.bool_]:
    training = np.array([one.is_training for one in index.streams], bool)
    query, target = index.stream_of[pairs[:, 0]], index.stream_of[pairs[:, 1]]
    return (query != target) & (training[query] | training[target])


def _links(index: KeyIndex, pairs: Pairs) -> NDArray[np.int64]:
    """One number for each pair's query and target stream."""
    return pairs[:, 0] * len(index.streams) + index.stream_of[pairs[:, 1]]


def _one_witness(index: KeyIndex, pairs: Pairs) -> Pairs:
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return pairs[np.sort(np.unique(_links(index, pairs), return_index=True)[1])]


def _without(index: KeyIndex, pairs: Pairs, known: Pairs) -> Pairs:
    return pairs[~np.isin(_links(index, pairs), _links(index, known))]


def _near_candidates(index: KeyIndex, exact: Pairs, advance: Callable[[], None]) -> Pairs:
    """Pairs that share a band, each in one order only, and are not known to be exact."""
    candidates = np.zeros(0, np.int64)
    for band in range(BANDS):
        found = np.sort(_without(index, _join(index, *index.band(band), most=_WITNESSES), exact), axis=1)
        candidates = np.union1d(candidates, found[:, 0] * len(index) + found[:, 1])
        advance()
    return np.stack(np.divmod(candidates, len(index)), axis=1)


def _verify(index: KeyIndex, candidates: Pairs) -> Pairs:
    """The candidates that are near duplicates indeed, in both orders."""
    kept, current, own = [], -1, np.zeros(0, np.uint32)
    for first, second in candidates.tolist():
        if first != current:
            current, own = first, index.shingles(first)
        if jaccard(own, index.shingles(second)) >= SIMILARITY:
            kept.append((first, second))
    pairs = np.array(kept, np.int64).reshape(-1, 2)
    return np.concatenate([pairs, pairs[:, ::-1]])
