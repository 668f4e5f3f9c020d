"""Train an end task together with its auxiliaries, with equal or learned weights (TARTAN, arXiv 2109.07437)."""

from recipe.algorithms.tartan.development import DevelopmentGradient as DevelopmentGradient
from recipe.algorithms.tartan.development import train_head as train_head
from recipe.algorithms.tartan.gradients import BodyGradients as BodyGradients
from recipe.algorithms.tartan.meta import MetaTartan as MetaTartan
from recipe.algorithms.tartan.meta import similarities as similarities
from recipe.algorithms.tartan.mt import MTTartan as MTTartan

__all__ = ["BodyGradients", "DevelopmentGradient", "MTTartan", "MetaTartan", "similarities", "train_head"]
