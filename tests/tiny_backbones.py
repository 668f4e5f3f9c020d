"""Backbones of a few thousand parameters, one of every kind."""

from __future__ import annotations

from typing import Any

_SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
_KINDS: dict[str, dict[str, Any]] = {
    "roberta": {**_SMALL, "type_vocab_size": 1},
    "bert": _SMALL,
    "deberta-v2": {
        **_SMALL,
        "relative_attention": True,
        "position_biased_input": False,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 16,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "type_vocab_size": 0,
    },
    "electra": {**_SMALL, "embedding_size": 16},
    "modernbert": {**_SMALL, "local_attention": 8},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    },
}


def tiny_backbones(longest_row: int) -> dict[str, dict[str, Any]]:
    """Configurations by ``model_type``, with positions for rows of so many tokens."""
    return {
        kind: {"model_type": kind, **options, "max_position_embeddings": longest_row + 2 * (kind == "roberta")}
        for kind, options in _KINDS.items()
    }
