"""Texts -> numbers that are equal where the texts are, whatever their case, punctuation and spacing.

Hashes have 64 bits: among 10 million texts two different ones share one with a probability of 3 in a million.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]  # it has no type stubs
from xxhash import xxh64_intdigest

SHINGLE = 5  # words
PERMUTATIONS, BANDS = 120, 20  # two examples of Jaccard similarity 0.8 share a band of 6 with probability 0.998
TEXT_WORDS = 8  # shorter texts ("yes", "all of the above") are the same by chance

Words = list[str]
Keys = NDArray[np.uint64]

_NOT = re.compile(r"\s*\bn\s*['\u2019]\s*t\b")
_ENDING = re.compile(r"\s*['\u2019]\s*(s|re|ve|ll|d|m|t)\b")
_BRACKET = re.compile(r"-[lr][rcs]b-")
_WORD = re.compile(r"[^\W_]+")
_FACTORS = np.array([0x9E3779B97F4A7C15**power % (1 << 64) for power in range(SHINGLE)], np.uint64)


@dataclass(frozen=True)
class ExampleKeys:
    """The keys of n examples.

    Attributes:
        whole: (n,) of all distinct texts of an example, in any order.
        texts: (m,) of single texts of at least ``TEXT_WORDS`` words; ``owners`` (m,) the example of each.
        single: (n,) bool, whether the example has only one text.
        bands: (n, BANDS) locality-sensitive: near duplicates share at least one.
        shingles: (s,) uint32 hashes of the runs of ``SHINGLE`` words; those of example i are
            ``shingles[starts[i]:starts[i + 1]]``.
        starts: (n + 1,) int64.
    """

    whole: Keys
    texts: Keys
    owners: NDArray[np.int64]
    single: NDArray[np.bool_]
    bands: Keys
    shingles: NDArray[np.uint32]
    starts: NDArray[np.int64]


def split_words(text: str) -> Words:
    """Case-folded words: ``"It ca n't -- ( really ) !"`` and ``"It can't (really)"`` give the same."""
    text = _BRACKET.sub(" ", _ENDING.sub(r"\1", _NOT.sub("nt", text.casefold())))
    return _WORD.findall(text) or text.split()  # a text of nothing but punctuation is still a text


def example_keys(examples: Sequence[Sequence[str]]) -> ExampleKeys:
    """The keys of examples given as their texts, at least one each."""
    words = [[split_words(text) for text in texts] for texts in examples]
    keys = [[xxh64_intdigest(" ".join(text)) for text in texts] for texts in words]
    long = [
        (key, number)
        for number, (texts, own) in enumerate(zip(words, keys, strict=True))
        for text, key in zip(texts, own, strict=True)
        if len(text) >= TEXT_WORDS
    ]
    shingles, starts = _shingles(words)
    return ExampleKeys(
        whole=np.array([_whole(set(own)) for own in keys], np.uint64),
        texts=np.array([key for key, _ in long], np.uint64),
        owners=np.array([number for _, number in long], np.int64),
        single=np.array([len(set(own)) == 1 for own in keys], bool),
        bands=_bands(shingles, starts),
        shingles=shingles.astype(np.uint32),
        starts=starts,
    )


def jaccard(first: NDArray[np.uint32], second: NDArray[np.uint32]) -> float:
    """Share of their distinct shingles that two examples have in common; both arrays sorted and without repeats."""
    common = len(np.intersect1d(first, second, assume_unique=True))
    return common / (len(first) + len(second) - common)


def _whole(keys: Set[int]) -> int:
    """The key of a set of texts; that of one text is the text's own."""
    return next(iter(keys)) if len(keys) == 1 else xxh64_intdigest(np.array(sorted(keys), np.uint64).tobytes())


def _shingles(examples: Sequence[Sequence[Words]]) -> tuple[Keys, NDArray[np.int64]]:
    """Hashes of every run of SHINGLE words inside a text, example after example, and where each example starts.

    A shorter text is one run, filled up with nothing.
    """
    padded = [text + [""] * (SHINGLE - len(text)) for texts in examples for text in texts]
    hashes = np.array([xxh64_intdigest(word) for text in padded for word in text], np.uint64)
    lengths = np.array([len(text) for text in padded], np.int64)
    runs = len(hashes) - SHINGLE + 1
    mixed = np.zeros(runs, np.uint64)
    for offset, factor in enumerate(_FACTORS):
        mixed += hashes[offset : offset + runs] * factor
    mixed ^= mixed >> np.uint64(29)
    mixed *= _FACTORS[1]
    mixed ^= mixed >> np.uint64(32)
    inside = np.ones(len(hashes), bool)
    ends = np.cumsum(lengths)
    for offset in range(1, SHINGLE):  # runs that start here would reach into the next text
        inside[ends - offset] = False
    counts = [sum(max(1, len(text) - SHINGLE + 1) for text in texts) for texts in examples]
    return mixed[inside[:runs]], np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _bands(shingles: Keys, starts: NDArray[np.int64]) -> Keys:
    """(n, BANDS) from MinHash signatures (Broder, 1997): one hash for each band of a signature."""
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        shingles, starts.astype(np.uint64), num_perm=PERMUTATIONS, seed=1
    )
    signatures = np.array(matrix.to_rows(), np.uint64).reshape(len(starts) - 1, BANDS, -1)
    mixed = np.zeros(signatures.shape[:2], np.uint64)
    for row in range(signatures.shape[2]):
        mixed = (mixed ^ signatures[:, :, row]) * _FACTORS[1]
        mixed ^= mixed >> np.uint64(32)
    return mixed
