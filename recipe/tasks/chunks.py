"""Chunks: what a tagger's B-, I- and O-tags mark in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def chunks(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Name, first word and one past the last of each chunk, as CoNLL's evaluation script (and seqeval) reads tags.

    ``I-NP`` goes on with a chunk of that name; after another chunk or none it begins one, as ``B-NP`` always does.
    """
    name, start = "", 0
    for position, tag in enumerate((*tags, "O")):
        mark, _, own = tag.partition("-")
        if name and (mark != "I" or own != name):
            yield name, start, position
            name = ""
        if own and not name:
            name, start = own, position
