"""Where raw rows come from: the Hub, a folder of Parquet files, a user's own files, or the miniature, made in place.

A source is named on the command line and named again inside every worker process, so it is cheap to build.
"""

from __future__ import annotations

import difflib

from data_prep.sources.derived import DerivedSplits
from data_prep.sources.local import LocalSource
from data_prep.sources.miniature import MiniatureSource
from data_prep.sources.source import Piece, Rows, Selection, Source, SourceError, select
from data_prep.sources.user import UserSource

__all__ = [
    "DerivedSplits",
    "LocalSource",
    "MiniatureSource",
    "Piece",
    "Rows",
    "Selection",
    "Source",
    "SourceError",
    "UserSource",
    "parse_source",
    "select",
]


def parse_source(text: str) -> Source:
    """``hub``, ``local:<folder>``, ``miniature`` or, for ``--user-tasks``, ``user:<YAML>``.

    Raises:
        SourceError: Another text, or a folder that does not exist.
        ConfigError: A YAML without tasks, or with wrong ones.
    """
    kind, _, rest = text.partition(":")
    if kind == "user" and rest:
        return DerivedSplits(UserSource(rest))
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
