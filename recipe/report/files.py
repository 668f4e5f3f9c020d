"""Files appear whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 file, replacing the one that was there."""
    write_beside(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def save_figure(path: Path, figure: Figure) -> None:
    """Writes a picture as PNG, replacing the one that was there."""
    write_beside(path, lambda partial: figure.savefig(partial, format="png"))


def write_beside(path: Path, write: Callable[[Path], object]) -> None:
    """Lets ``write`` fill a neighbour of ``path`` with the same suffix, then renames it to ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        write(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
