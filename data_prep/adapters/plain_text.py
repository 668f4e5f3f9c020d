"""Plain text, to be masked (``dapt_<name>``)."""

from __future__ import annotations

from data_prep.adapters.adapter import Adapter, Row, read_text
from data_prep.examples import TextExample


def _plain(row: Row) -> TextExample:
    return TextExample(read_text(row["text"]))


PLAIN_TEXT = Adapter(("text",), _plain)
