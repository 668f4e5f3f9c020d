"""Where raw rows come from: a folder of Parquet files, or the miniature that is generated in place.

A source is named on the command line and named again inside every worker process, so it is cheap to build.
"""

from __future__ import annotations

import difflib

from data_prep.sources.derived import DerivedSplits
from data_prep.sources.local import LocalSource
from data_prep.sources.miniature import MiniatureSource
from data_prep.sources.source import Piece, Rows, Source, SourceError

__all__ = ["DerivedSplits", "LocalSource", "MiniatureSource", "Piece", "Rows", "Source", "SourceError", "parse_source"]


def parse_source(text: str) -> Source:
    """``local:<folder>`` or ``miniature``.

    Raises:
        SourceError: Another text, or a folder that does not exist.
    """
    kind, _, rest = text.partition(":")
    if kind == "local" and rest:
        return DerivedSplits(LocalSource(rest))
    if text == "miniature":
        return DerivedSplits(MiniatureSource())
    if kind == "hub":
        raise SourceError(
            "source 'hub': reading from the Hugging Face Hub is not available yet; download the datasets as "
            "<folder>/<task>/<split>.parquet and use local:<folder>"
        )
    near = difflib.get_close_matches(kind, ["local", "miniature"], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise SourceError(f"source {text!r}: expected local:<folder> or miniature{hint}")
