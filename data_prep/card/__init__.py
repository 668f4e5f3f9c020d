"""``python -m data_prep card``: a data card of a store, as Markdown and as one HTML file."""

from data_prep.card.command import main

__all__ = ["main"]
