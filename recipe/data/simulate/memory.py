"""A rough estimate of a device's memory, from the backbone's shape and the largest microbatch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig, AutoModel
from transformers.configuration_utils import PretrainedConfig

from recipe.config import Parallelism, Precision, TrainConfig
from recipe.data.simulate.outcome import Outcome

_STATE = 16  # bytes a parameter: fp32 weight, gradient and Adam's two moments
_ACTIVATIONS = {False: 34, True: 45}  # bytes a token, layer and hidden unit in 16 bits; a decoder attends twice
_CHECKPOINT = 2  # bytes of the one input that is kept of a layer whose activations are computed again
_LOGITS = 10  # bytes a target position and word: 16-bit logits, fp32 log-probabilities and their gradient
# Shapes of the backbones that the YAMLs name, for machines that have not downloaded them.
_KNOWN: dict[str, dict[str, Any]] = {
    "roberta-base": {"model_type": "roberta", "vocab_size": 50265},
    "roberta-large": {
        "model_type": "roberta",
        "vocab_size": 50265,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
    },
    "facebook/bart-base": {
        "model_type": "bart",
        "d_model": 768,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "encoder_attention_heads": 12,
        "decoder_attention_heads": 12,
        "encoder_ffn_dim": 3072,
        "decoder_ffn_dim": 3072,
    },
    "facebook/bart-large": {"model_type": "bart"},
    "answerdotai/ModernBERT-base": {"model_type": "modernbert"},
    "microsoft/deberta-v3-base": {
        "model_type": "deberta-v2",
        "vocab_size": 128100,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "type_vocab_size": 0,
    },
}


@dataclass(frozen=True)
class Shape:
    """What memory depends on: ``layers`` are those that one token goes through."""

    parameters: int
    hidden: int
    layers: int
    vocabulary: int
    encoder_decoder: bool


def backbone_shape(config: TrainConfig) -> Shape | None:
    """The shape of a run's backbone, from files on this machine or the names known here; else None."""
    built = _backbone_config(config)
    if built is None:
        return None
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in AutoModel.from_config(built).parameters())
    return Shape(
        parameters,
        built.hidden_size,
        built.num_hidden_layers,  # of the encoder, where there is a decoder, too
        built.vocab_size,
        built.is_encoder_decoder,
    )


def estimate_memory(shape: Shape, config: TrainConfig, outcome: Outcome, ranks: int) -> float:
    """Bytes on one device: state of all parameters, activations of the largest microbatch, logits of its targets.

    Activations with fused attention, 34 bytes a token, layer and hidden unit in 16 bits: Korthikanti et al. 2022 (arXiv
    2205.05198, equation 1) without its attention scores; with checkpointing of one layer and every other's input. R3F
    keeps two graphs.
    Heads, buffers, fragmentation and the framework's own memory are not counted: leave a fifth free.
    """
    sharded = config.parallelism is not Parallelism.ddp
    graphs = 2 if config.algorithms.r3f.enabled else 1
    width = 2 if config.precision is Precision.fp32 else 1
    state = _STATE * shape.parameters / ((config.shard_over or ranks) if sharded else 1)
    layer = _ACTIVATIONS[shape.encoder_decoder]
    layers = layer + _CHECKPOINT * shape.layers if config.activation_checkpointing else layer * shape.layers
    token = layers * shape.hidden * width
    return state + graphs * (outcome.largest * token + outcome.logits * shape.vocabulary * _LOGITS)


def _backbone_config(config: TrainConfig) -> PretrainedConfig | None:
    given = config.backbone.config or _KNOWN.get(config.backbone.name)
    if given is not None:
        return AutoConfig.for_model(**given)
    try:
        return AutoConfig.from_pretrained(config.backbone.name, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError):
        return None
