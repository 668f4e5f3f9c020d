"""Out to the world: checkpoint -> Hugging Face folder with heads, from where another run or anyone can start."""

from recipe.export.folder import export
from recipe.export.start import exported_start

__all__ = ["export", "exported_start"]
