"""Where raw rows come from: the Hub, a folder of Parquet files, or the miniature that is generated in place.

A source is named on the command line and named again inside every worker process, so it is cheap to build.
"""

from __future__ import annotations

import difflib

from data_prep.sources.derived import DerivedSplits
from data_prep.sources.local import LocalSource
from data_prep.sources.miniature import MiniatureSource
from data_prep.sources.source import Piece, Rows, Selection, Source, SourceError, select

__all__ = [
    "DerivedSplits",
    "LocalSource",
    "MiniatureSource",
    "Piece",
    "Rows",
    "Selection",
    "Source",
    "SourceError",
    "parse_source",
    "select",
]


def parse_source(text: str) -> Source:
    """``hub``, ``local:<folder>`` or ``miniature``.

    Raises:
        SourceError: Another text, or a folder that does not exist.
    """
    kind, _, rest = text.partition(":")
    if kind == "local" and rest:
        return DerivedSplits(LocalSource(rest))
    if text == "miniature":
        return DerivedSplits(MiniatureSource())
    if text == "hub":
        from data_prep.sources.hub import HubSource  # takes seconds: only for those who ask for it

        return DerivedSplits(HubSource())
    near = difflib.get_close_matches(kind, ["hub", "local", "miniature"], n=1)
    hint = f"; did you mean {near[0]}?" if near and near[0] != kind else ""
    raise SourceError(f"source {text!r}: expected hub, local:<folder> or miniature{hint}")
