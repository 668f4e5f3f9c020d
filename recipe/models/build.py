"""A run's model from its configuration, or from a checkpoint of it."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import MODEL_FOR_MASKED_LM_MAPPING
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.algorithms.r3f import add_spectral_norm, find_projections
from recipe.checkpoint import Checkpoint, load_weights
from recipe.config import Balancing, TrainConfig, parse_config
from recipe.data.tokenizer import load_tokenizer
from recipe.models.backbone import BackboneError, build_backbone, build_backbone_like, load_backbone
from recipe.models.multitask import MultitaskModel
from recipe.models.network import MultitaskNetwork, head_name
from recipe.tasks import Family, Task, get_task
from recipe.tasks.metrics import build_metrics

HEADS_WEIGHTS = "heads.safetensors"
HEADS_JSON = "heads.json"

MASKED_LM = Family.MASKED_LM.value
# In the order of MaskedLMHead's own: bias of the vocabulary, dense layer, norm.
_MASKED_LM_HEADS = {
    kind: (bias, *(f"{layer}.{part}" for layer in layers for part in ("weight", "bias")))
    for kind, bias, layers in (
        ("roberta", "lm_head.bias", ("lm_head.dense", "lm_head.layer_norm")),
        ("xlm-roberta", "lm_head.bias", ("lm_head.dense", "lm_head.layer_norm")),
        (
            "bert",
            "cls.predictions.bias",
            ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm"),
        ),
        ("modernbert", "decoder.bias", ("head.dense", "head.norm")),
    )
}

log = logging.getLogger(__name__)


def build_model(
    config: TrainConfig, tokenizer: PreTrainedTokenizerFast, labels: Mapping[str, Sequence[str]] | None = None
) -> MultitaskModel:
    """The model that a run starts with: backbone, new heads, and the heads of an exported folder where it has them.

    Args:
        labels: Class names of tasks for which the catalogue leaves them open (:func:`recipe.data.store.open_labels`).

    Raises:
        BackboneError: The backbone cannot be loaded, cannot learn one of the tasks, or cannot do without activations.
    """
    settings = config.backbone
    if settings.config is not None:
        backbone = build_backbone(settings.config, tokenizer, settings.dropout)
    else:
        backbone = load_backbone(settings.name, settings.dropout)
    if config.activation_checkpointing:
        if not backbone.supports_gradient_checkpointing:
            kind = backbone.config.model_type
            raise BackboneError(f"activations of {kind} cannot be computed again: set activation_checkpointing=false")
        # Not reentrant: R3F's second forward would get wrong gradients.
        backbone.gradient_checkpointing_enable({"use_reentrant": False})
    network = _build_network(backbone, config, labels)
    if settings.name and MASKED_LM in network.heads:
        load_masked_lm_head(network, settings.name)
    if settings.reuse_heads and (Path(settings.name) / HEADS_WEIGHTS).is_file():
        reused = load_heads(network, Path(settings.name))
        log.info("heads taken over from %s: %s", settings.name, ", ".join(reused) or "none")
    return _with_metrics(network, tokenizer, config)


def restore_model(checkpoint: Checkpoint) -> tuple[MultitaskModel, TrainConfig, PreTrainedTokenizerFast]:
    """A checkpoint's model with its weights, its configuration and its tokenizer; nothing but the file is needed.

    Raises:
        CheckpointError: Weights and recorded architecture do not fit together.
    """
    config = parse_config(OmegaConf.create(checkpoint.config), str(checkpoint.path))
    with TemporaryDirectory() as folder:
        for name, text in checkpoint.tokenizer.items():
            (Path(folder) / name).write_text(text, encoding="utf-8")
        tokenizer = load_tokenizer(folder)
    network = _build_network(build_backbone_like(json.loads(checkpoint.backbone_config)), config, checkpoint.labels)
    load_weights(network, checkpoint)
    return _with_metrics(network, tokenizer, config), config, tokenizer


def has_head(folder: Path, task: Task) -> bool:
    """Whether an exported folder brings the head that serves ``task``, with the same labels.

    Summaries are served by the decoder: it is there where some summarization task was learned.
    """
    if not (folder / HEADS_WEIGHTS).is_file():
        return False
    if task.family is Family.SUMMARIZATION:
        return any(entry["family"] == task.family.value for entry in _learned_tasks(folder))
    name = head_name(task.key, task.family.value)
    with safe_open(folder / HEADS_WEIGHTS, "pt") as weights:
        there = any(key.startswith(f"{name}.") for key in weights.keys())  # noqa: SIM118 (no dictionary)
    return there and _fits(name, None if task.has_open_labels else task.labels, folder)


def load_heads(network: MultitaskNetwork, folder: Path) -> list[str]:
    """Copies an exported folder's heads into the network's heads of the same name and label space.

    Returns:
        The names of the heads that were taken over.
    """
    weights = load_file(folder / HEADS_WEIGHTS)
    reused = []
    for name, head in network.heads.items():
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        if own and _fits(name, network.labels.get(name), folder):
            head.load_state_dict(own)
            reused.append(name)
    return reused


def _fits(name: str, labels: Sequence[str] | None, folder: Path) -> bool:
    """Whether an exported folder's head is for these labels; shared heads, which have none of their own, always fit."""
    theirs = {entry["key"]: tuple(entry["labels"]) for entry in _learned_tasks(folder)}
    return labels is None or theirs.get(name, ()) == tuple(labels)


def _learned_tasks(folder: Path) -> list[dict[str, Any]]:
    """What an exported folder says of the tasks that its heads were trained on (:func:`describe_heads`)."""
    return json.loads((folder / HEADS_JSON).read_text())["tasks"]


def load_masked_lm_head(network: MultitaskNetwork, name_or_folder: str) -> None:
    """Copies the checkpoint's own masked language modelling head where it has one; else it stays new, on tied weights.

    Known are RoBERTa's, BERT's and ModernBERT's, whose names differ and whose computation is the same; ModernBERT's has
    no biases but the vocabulary's, so ours begin at 0.
    """
    kind = network.backbone.config.model_type
    if kind not in _MASKED_LM_HEADS:
        log.info("masked_lm head of %s: new (only that of %s is read)", name_or_folder, ", ".join(_MASKED_LM_HEADS))
        return
    architecture = cast(Any, MODEL_FOR_MASKED_LM_MAPPING[type(network.backbone.config)])
    model, loading = architecture.from_pretrained(name_or_folder, torch_dtype=torch.float32, output_loading_info=True)
    names = dict(zip(network.heads[MASKED_LM].state_dict(), _MASKED_LM_HEADS[kind], strict=True))
    if set(names.values()) & set(loading["missing_keys"]):
        log.info("masked_lm head of %s: new, the checkpoint has none", name_or_folder)
        return
    weights, new = model.state_dict(), network.heads[MASKED_LM].state_dict()
    network.heads[MASKED_LM].load_state_dict({own: weights.get(names[own], new[own]) for own in names})


def describe_heads(labels: Mapping[str, Sequence[str]], steps: int) -> dict[str, Any]:
    """What ``heads.json`` says: the tasks that the heads were trained on, with label names in the heads' order.

    Args:
        labels: Class names by task (:attr:`recipe.models.network.MultitaskNetwork.labels`).
        steps: Optimiser steps taken.
    """
    return {
        "steps": steps,
        "tasks": [
            {"key": task.key, "family": task.family.value, "labels": list(labels[task.key]), "choices": task.choices}
            for task in map(get_task, labels)
        ],
    }


def _build_network(
    backbone: PreTrainedModel, config: TrainConfig, labels: Mapping[str, Sequence[str]] | None
) -> MultitaskNetwork:
    learn_variances = config.algorithms.balancing is Balancing.uncertainty
    network = MultitaskNetwork(backbone, config.tasks, labels, learn_variances)
    if config.algorithms.r3f.enabled and config.algorithms.r3f.spectral_norm:
        add_spectral_norm(find_projections(network))  # here already, so that names are the checkpoint's
    return network


def _with_metrics(network: MultitaskNetwork, tokenizer: PreTrainedTokenizerFast, config: TrainConfig) -> MultitaskModel:
    metrics = {key: build_metrics(get_task(key)) for key in config.tasks}
    return MultitaskModel(network, tokenizer, config.tasks, config.algorithms.label_smoothing, metrics)
