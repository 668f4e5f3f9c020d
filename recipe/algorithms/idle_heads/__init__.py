"""Leave a head as it is in steps that have no example for it."""

from recipe.algorithms.idle_heads.idle_heads import FreezeIdleHeads as FreezeIdleHeads

__all__ = ["FreezeIdleHeads"]
