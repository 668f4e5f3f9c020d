"""The pretrained encoder or encoder-decoder that every task shares, and what we need to know about it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING, MODEL_MAPPING, AutoConfig
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.bart.modeling_bart import shift_tokens_right
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from recipe.errors import UserError

ENCODERS = ("bert", "deberta-v2", "electra", "modernbert", "roberta", "xlm-roberta", "xlnet")
SUMMARIZERS = ("pegasus", "t5")  # encoder-decoders that learn summarization alone
ENCODER_DECODERS = ("bart", *SUMMARIZERS)

# Ids that generating needs, all of them in the backbone's configuration.
GENERATION_TOKENS = (
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
)

_DROPOUTS = (
    "activation_dropout",
    "attention_dropout",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "dropout",
    "dropout_rate",
    "embedding_dropout",
    "hidden_dropout_prob",
    "mlp_dropout",
    "summary_last_dropout",
)
# Parameters that their checkpoints have and that are not trained: sinusoids, and what pre-training alone reads.
_UNTRAINED = {"pegasus": "embed_positions.weight", "xlnet": "mask_emb"}
# Options that DeBERTa's modules read although its config class does not declare them.
_UNDECLARED = {"deberta-v2": {"conv_act", "conv_kernel_size", "norm_rel_ebd", "position_buckets", "share_att_key"}}


class BackboneError(UserError):
    """A backbone that cannot be loaded, or that cannot learn what is asked of it."""


def load_backbone(name_or_folder: str, dropout: float | None = None) -> PreTrainedModel:
    """The pretrained backbone at a Hub name or in a local folder, with fp32 weights and nothing it would leave unused.

    Args:
        name_or_folder: Hub name (``roberta-base``) or folder with ``config.json`` and weights.
        dropout: Overrides every dropout probability of the backbone; None keeps its own.

    Raises:
        BackboneError: It does not exist, has no readable weights, or is of a kind this recipe does not know.
    """
    try:
        config = AutoConfig.from_pretrained(name_or_folder, trust_remote_code=False)
        _prepare(config, dropout)
        model = _architecture(config).from_pretrained(name_or_folder, config=config, torch_dtype=torch.float32)
    except (OSError, ValueError) as error:
        if isinstance(error, BackboneError):
            raise BackboneError(f"backbone {name_or_folder!r}: {error}") from error
        raise BackboneError(
            f"cannot load backbone {name_or_folder!r}: give a Hub name such as roberta-base, or a folder with "
            f"config.json and model.safetensors ({str(error).splitlines()[0]})"
        ) from error
    if config.is_encoder_decoder:
        for key in GENERATION_TOKENS:  # save_pretrained moves those that differ from the kind's own to another file
            if getattr(model.generation_config, key) is not None:
                setattr(model.config, key, getattr(model.generation_config, key))
    return _for_training(model)


def build_backbone(
    config: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase, dropout: float | None = None
) -> PreTrainedModel:
    """A backbone with random weights, drawn from torch's global generator.

    Args:
        config: ``model_type`` and what differs from that type's defaults, ``{"model_type": "roberta",
            "hidden_size": 128, ...}``.
        tokenizer: Gives the size of the vocabulary and the special tokens' ids.
        dropout: Overrides every dropout probability of the backbone; None keeps its own.

    Raises:
        BackboneError: Unknown ``model_type`` or key.
    """
    kind = config.get("model_type")
    if kind not in (*ENCODERS, *ENCODER_DECODERS):
        raise BackboneError(_unknown_kind(kind))
    options = {key: value for key, value in config.items() if key != "model_type"}
    _refuse_unknown_options(kind, options)
    options |= _vocabulary_options(kind, tokenizer)
    built = AutoConfig.for_model(kind, **options)
    _prepare(built, dropout)
    return _for_training(_architecture(built)(built))


def build_backbone_like(config: Mapping[str, Any]) -> PreTrainedModel:
    """The architecture that ``config`` describes, for weights that are loaded next.

    Args:
        config: All of a Hugging Face configuration, as a backbone of this recipe saved it.
    """
    built = AutoConfig.for_model(**config)
    return _for_training(_architecture(built)(built))


def _architecture(config: PretrainedConfig) -> type[PreTrainedModel]:
    # AutoModel would import every model there is to find it, which takes seconds.
    known = MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING if config.is_encoder_decoder else MODEL_MAPPING
    return cast(type[PreTrainedModel], known[type(config)])


def max_row_length(backbone: PreTrainedModel) -> int | None:
    """Tokens in the longest row the backbone has positions for: 512 for RoBERTa, whose table of 514 starts late.

    None where distances take the place of positions (T5, XLNet).
    """
    if backbone.config.model_type in ("t5", "xlnet"):
        return None
    positions = backbone.config.max_position_embeddings
    if backbone.config.model_type in ("roberta", "xlm-roberta"):
        return positions - backbone.config.pad_token_id - 1
    return positions


def head_dropout(config: PretrainedConfig) -> float:
    """The dropout probability of a classification head on this backbone, as Hugging Face's own heads choose it."""
    for key in ("classifier_dropout", "hidden_dropout_prob", "dropout"):
        if getattr(config, key, None) is not None:
            return float(getattr(config, key))
    return 0.0


def initializer_std(config: PretrainedConfig) -> float:
    """Standard deviation of the backbone's initial weights (BART calls it ``init_std``)."""
    return float(getattr(config, "initializer_range", None) or getattr(config, "init_std", 0.02))


def transformer_layers(backbone: nn.Module) -> list[nn.Module]:
    """The elements of the outermost module lists: an encoder's layers, and a decoder's."""
    lists = {name: module for name, module in backbone.named_modules() if isinstance(module, nn.ModuleList)}
    outermost = [module for name, module in lists.items() if not any(name.startswith(f"{other}.") for other in lists)]
    return [layer for layers in outermost for layer in layers]


def takes_token_types(backbone: PreTrainedModel) -> bool:
    """Whether the backbone tells a row's second text from its first by token types (BERT, ELECTRA, XLNet)."""
    accepted = "token_type_ids" in inspect.signature(backbone.forward).parameters
    return accepted and (getattr(backbone.config, "type_vocab_size", 0) > 1 or ends_with_cls(backbone))


def ends_with_cls(backbone: PreTrainedModel) -> bool:
    """Whether the token that stands for the whole row is the row's last, of a token type of its own (XLNet)."""
    return backbone.config.model_type == "xlnet"


def decode(backbone: Any, input_ids: Tensor, attention_mask: Tensor, targets: Tensor) -> Tensor:
    """An encoder-decoder's last states (R, T, H): at each target, having seen the targets before it.

    Args:
        backbone: An encoder-decoder of any kind, as transformers' generating class for it.
        input_ids: (R, L) what the encoder reads.
        attention_mask: (R, L) of it.
        targets: (R, T) the ids to predict, -100 where there is none.
    """
    config = backbone.config
    encoded = backbone.get_encoder()(input_ids=input_ids, attention_mask=attention_mask)
    decoded = backbone.get_decoder()(
        input_ids=shift_tokens_right(targets, config.pad_token_id, config.decoder_start_token_id),
        encoder_hidden_states=encoded.last_hidden_state,
        encoder_attention_mask=attention_mask,
        use_cache=False,
    )
    return decoded.last_hidden_state


def token_logits(backbone: Any, states: Tensor) -> Tensor:
    """Logits (..., V) of states (..., H) of :func:`decode`, as transformers' generating class computes them."""
    config = backbone.config
    if config.model_type == "t5" and config.tie_word_embeddings:
        states = states * config.d_model**-0.5  # the embeddings' scale, as output weights they are too large
    logits = backbone.get_output_embeddings()(states)
    bias = getattr(backbone, "final_logits_bias", None)  # BART's and PEGASUS's
    return logits if bias is None else logits + bias


def _prepare(config: PretrainedConfig, dropout: float | None) -> None:
    if config.model_type not in (*ENCODERS, *ENCODER_DECODERS):
        raise BackboneError(_unknown_kind(config.model_type))
    if dropout is not None:
        set_dropout(config, dropout)
    for key in ("layerdrop", "encoder_layerdrop", "decoder_layerdrop"):
        if hasattr(config, key):
            setattr(config, key, 0.0)  # a rank that skips a layer has parameters without gradients: DDP would fail
    if hasattr(config, "use_mems_eval"):
        config.use_mems_eval = False  # XLNet's memory is for texts longer than a row
    if hasattr(config, "reference_compile"):
        config.reference_compile = False  # ModernBERT's compiled embeddings would not run R3F's hook


def set_dropout(config: PretrainedConfig, probability: float) -> None:
    """Set every dropout probability that ``config`` has; a model built from it afterwards uses them.

    Raises:
        BackboneError: Not a probability below 1.
    """
    if not 0 <= probability < 1:
        raise BackboneError(f"dropout must be at least 0 and below 1, got {probability}")
    for key in _DROPOUTS:
        if hasattr(config, key):
            setattr(config, key, probability)


def _for_training(model: PreTrainedModel) -> PreTrainedModel:
    """The model without parameters that never get a gradient, which DDP would wait for, and as R3F needs it."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # pyright: ignore[reportArgumentType]
    for name, parameter in model.named_parameters():
        if name.endswith(_UNTRAINED.get(model.config.model_type, ())):
            parameter.requires_grad_(False)
    if model.config.is_encoder_decoder:
        _separate_embeddings(model)
    return model


def _separate_embeddings(model: Any) -> None:
    """Gives the encoder an embedding module of its own, on the same weights, as BART has: R3F's noise goes there."""
    shared: nn.Embedding = model.get_input_embeddings()
    encoder = model.get_encoder()
    for name, module in encoder.named_children():
        if module is shared:
            own = nn.Embedding(*shared.weight.shape, padding_idx=shared.padding_idx, device="meta")
            own.weight = shared.weight
            setattr(encoder, name, own)


def _unknown_kind(kind: str | None) -> str:
    return (
        f"unknown model_type {kind!r}: use an encoder ({', '.join(ENCODERS)}) "
        f"or an encoder-decoder ({', '.join(ENCODER_DECODERS)})"
    )


def _refuse_unknown_options(kind: str, options: Mapping[str, Any]) -> None:
    default = AutoConfig.for_model(kind)
    known = {*default.to_dict(), *default.attribute_map, *_UNDECLARED.get(kind, ())}
    for key in options:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f": did you mean {near[0]!r}?" if near else ""
            raise BackboneError(f"{kind} has no option {key!r}{hint}")


def _vocabulary_options(kind: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    first = tokenizer.cls_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    last = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    options = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": first,
        "eos_token_id": last,
    }
    if kind in ENCODER_DECODERS:
        start = tokenizer.pad_token_id if kind in ("pegasus", "t5") else last
        options |= {"decoder_start_token_id": start, "forced_eos_token_id": last}
    if kind == "modernbert":
        options |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    return options
