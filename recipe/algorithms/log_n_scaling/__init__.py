"""Divide each example's loss by log n, n being the number of outcomes it predicts over (MUPPET, section 3.2)."""

from recipe.algorithms.log_n_scaling.log_n_scaling import LogNLossScaling as LogNLossScaling
from recipe.algorithms.log_n_scaling.log_n_scaling import scale_by_log_n as scale_by_log_n

__all__ = ["LogNLossScaling", "scale_by_log_n"]
