"""Backbone, heads, per-example losses, and the one ComposerModel that joins them."""

from recipe.models.backbone import BackboneError
from recipe.models.build import HEADS_JSON, HEADS_WEIGHTS, build_model, describe_heads, has_head, restore_model
from recipe.models.multitask import MultitaskModel
from recipe.models.network import MultitaskNetwork, head_family

__all__ = [
    "HEADS_JSON",
    "HEADS_WEIGHTS",
    "BackboneError",
    "MultitaskModel",
    "MultitaskNetwork",
    "build_model",
    "describe_heads",
    "has_head",
    "head_family",
    "restore_model",
]
