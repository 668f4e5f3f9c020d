"""Backbones of a few thousand parameters, one of every kind."""

from __future__ import annotations

from typing import Any

_SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
_SMALL_BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
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
    "xlnet": {"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "bart": _SMALL_BART,
    "pegasus": {**_SMALL_BART, "scale_embedding": True},
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "relative_attention_num_buckets": 8},
}
_WITHOUT_POSITIONS = ("t5", "xlnet")


def tiny_backbones(longest_row: int) -> dict[str, dict[str, Any]]:
    """Configurations by ``model_type``, with positions for rows of so many tokens."""
    return {kind: {"model_type": kind, **options, **_positions(kind, longest_row)} for kind, options in _KINDS.items()}


def _positions(kind: str, longest_row: int) -> dict[str, int]:
    return {} if kind in _WITHOUT_POSITIONS else {"max_position_embeddings": longest_row + 2 * (kind == "roberta")}
