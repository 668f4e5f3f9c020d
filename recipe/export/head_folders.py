"""Heads as Hugging Face models: a folder for each that plain ``from_pretrained`` loads and that gives our logits.

A folder has the head's own weights; the backbone's and the tokenizer's files are hard links to the export's, so that
forty heads take no more room than one. (A copy to another disk takes as much as there are folders; Git LFS and the Hub
store equal files once.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import AutoConfig

from recipe.errors import UserError
from recipe.models import head_family
from recipe.tasks import Family, get_task

HEADS = "heads"  # the folder of them in an export
WEIGHTS = "model.safetensors"  # the backbone's in an export, all in one file
_BACKBONE, _HEAD, _INDEX = "backbone.safetensors", "head.safetensors", f"{WEIGHTS}.index.json"
_OUTPUT_LAYER = ("final_logits_bias", "lm_head.weight")  # an encoder-decoder's, which only its generating class has


@dataclass(frozen=True)
class HeadClass:
    """A class of transformers that computes what our head of a family does.

    Attributes:
        name: Of the class.
        layers: Where it keeps the head's layers, by our names.
        options: What its configuration must say for that.
    """

    name: str
    layers: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def auto(self) -> str:
        """``RobertaForMultipleChoice`` -> ``AutoModelForMultipleChoice``."""
        return f"AutoModelFor{self.name.partition('For')[2]}"


def _dense(dense: str, projection: str = "classifier") -> dict[str, str]:
    return {"dense": dense, "out_proj": projection}


_CLASSIFICATION, _COMMONSENSE, _MRC = Family.CLASSIFICATION, Family.COMMONSENSE, Family.MRC
_SPAN = {"out_proj": "qa_outputs"}
_TANH_POOLER = {"pooler_hidden_act": "tanh"}
_TANH_SUMMARY = {"summary_type": "first", "summary_use_proj": True, "summary_activation": "tanh"}
_LAST_SUMMARY = {**_TANH_SUMMARY, "summary_type": "last"}
_XLNET_HEAD = _dense("sequence_summary.summary", "logits_proj")


# Dropout aside, which only training has: dense, tanh, projection of the first token (BART and XLNet: the last).
_CLASSES: dict[str, dict[Family, HeadClass]] = {
    "roberta": {
        _CLASSIFICATION: HeadClass(
            "RobertaForSequenceClassification", _dense("classifier.dense", "classifier.out_proj")
        ),
        _COMMONSENSE: HeadClass("RobertaForMultipleChoice", _dense("roberta.pooler.dense")),
        _MRC: HeadClass("RobertaForQuestionAnswering", _SPAN),
    },
    "xlm-roberta": {
        _CLASSIFICATION: HeadClass(
            "XLMRobertaForSequenceClassification", _dense("classifier.dense", "classifier.out_proj")
        ),
        _COMMONSENSE: HeadClass("XLMRobertaForMultipleChoice", _dense("roberta.pooler.dense")),
        _MRC: HeadClass("XLMRobertaForQuestionAnswering", _SPAN),
    },
    "bert": {
        _CLASSIFICATION: HeadClass("BertForSequenceClassification", _dense("bert.pooler.dense")),
        _COMMONSENSE: HeadClass("BertForMultipleChoice", _dense("bert.pooler.dense")),
        _MRC: HeadClass("BertForQuestionAnswering", _SPAN),
    },
    "deberta-v2": {
        _CLASSIFICATION: HeadClass("DebertaV2ForSequenceClassification", _dense("pooler.dense"), _TANH_POOLER),
        _COMMONSENSE: HeadClass("DebertaV2ForMultipleChoice", _dense("pooler.dense"), _TANH_POOLER),
        _MRC: HeadClass("DebertaV2ForQuestionAnswering", _SPAN),
    },
    "electra": {
        _COMMONSENSE: HeadClass("ElectraForMultipleChoice", _dense("sequence_summary.summary"), _TANH_SUMMARY),
        _MRC: HeadClass("ElectraForQuestionAnswering", _SPAN),
    },
    "xlnet": {
        _CLASSIFICATION: HeadClass("XLNetForSequenceClassification", _XLNET_HEAD, _LAST_SUMMARY),
        _COMMONSENSE: HeadClass("XLNetForMultipleChoice", _XLNET_HEAD, _LAST_SUMMARY),
    },
    "bart": {
        _CLASSIFICATION: HeadClass(
            "BartForSequenceClassification", _dense("classification_head.dense", "classification_head.out_proj")
        ),
        _MRC: HeadClass("BartForQuestionAnswering", _SPAN),
    },
}
_PREFIXES = {
    "roberta": "Roberta",
    "xlm-roberta": "XLMRoberta",
    "bert": "Bert",
    "deberta-v2": "DebertaV2",
    "xlnet": "XLNet",
}
for _kind, _prefix in _PREFIXES.items():
    _CLASSES[_kind][Family.REGRESSION] = _CLASSES[_kind][_CLASSIFICATION]
    _CLASSES[_kind][Family.TAGGING] = HeadClass(f"{_prefix}ForTokenClassification", {"out_proj": "classifier"})
_LAYER_NORM = "transformers' heads for ModernBERT have a layer norm that ours have not"
_REASONS: dict[tuple[str, Family], str] = {
    ("electra", _CLASSIFICATION): "ElectraForSequenceClassification has gelu where our head has tanh",
    ("xlnet", _MRC): "no answer is at the last token here, which transformers' classes for XLNet do not expect",
    ("bart", _COMMONSENSE): "transformers has no BartForMultipleChoice",
    ("modernbert", _CLASSIFICATION): _LAYER_NORM,
    ("modernbert", _COMMONSENSE): "transformers has no ModernBertForMultipleChoice",
    ("modernbert", _MRC): _LAYER_NORM,
}


def choose_heads(
    model_type: str, heads: Collection[str], tasks: Collection[str], asked: Collection[str] | None
) -> tuple[dict[str, HeadClass], dict[str, str]]:
    """Which heads get a folder, and why the others do not.

    Args:
        model_type: Of the backbone.
        heads: Names of the model's heads.
        tasks: Keys of its tasks.
        asked: Tasks or heads by name; None for every head that has a class.

    Returns:
        The chosen heads' classes, and of every head that cannot have a folder the reason.

    Raises:
        UserError: A head is asked for that is not there or has no class.
    """
    families = {name: head_family(name) for name in heads}
    classes = _CLASSES.get(model_type, {})
    found = {name: classes[family] for name, family in families.items() if family in classes}
    unknown = f"no class of transformers is known to compute what our heads on {model_type} do"
    reasons = {name: _REASONS.get((model_type, families[name]), unknown) for name in heads if name not in found}
    if asked is None:
        return found, reasons
    names = [_head_of(name, heads, tasks) for name in asked]
    for name in names:
        if name in reasons:
            raise UserError(f"head {name!r} cannot be a folder of its own: {reasons[name]}; leave it out")
    return {name: found[name] for name in names if name in found}, reasons


def describe_reasons(reasons: Mapping[str, str]) -> list[str]:
    """Heads that cannot have a folder, a line for each reason: ``cola, mnli (the reason)``."""
    by_reason = groupby(sorted(reasons, key=reasons.__getitem__), key=reasons.__getitem__)
    return [f"{', '.join(names)} ({reason})" for reason, names in by_reason]


def write_head_folder(
    export: Path,
    name: str,
    form: HeadClass,
    weights: Mapping[str, Tensor],
    labels: Sequence[str],
    tokenizer_files: Collection[str],
) -> None:
    """Writes ``heads/<name>`` in an exported folder that is otherwise complete.

    Args:
        export: Has config.json, model.safetensors with the names of a model that has a head, and the tokenizer.
        name: Of the head.
        form: The class that the folder is to be loaded as.
        weights: The head's, by our names.
        labels: Names of its classes in their order; empty for a head without classes.
        tokenizer_files: Names of the tokenizer's files in the export.
    """
    folder = export / HEADS / name
    folder.mkdir(parents=True)
    for file in tokenizer_files:
        _link(export / file, folder / file)
    _link(export / WEIGHTS, folder / _BACKBONE)
    own = {_their_name(key, form): weight.contiguous() for key, weight in weights.items()}
    save_file(own, folder / _HEAD, metadata={"format": "pt"})
    with safe_open(export / WEIGHTS, framework="pt") as file:
        inherited = [key for key in file.keys() if key not in _OUTPUT_LAYER]  # noqa: SIM118 (not a dictionary)
    index = {
        "metadata": {"total_size": sum((folder / file).stat().st_size for file in (_BACKBONE, _HEAD))},
        "weight_map": {**dict.fromkeys(inherited, _BACKBONE), **dict.fromkeys(own, _HEAD)},
    }
    (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n")
    config = AutoConfig.from_pretrained(export)
    config.update({"num_labels": len(weights["out_proj.weight"]), "architectures": [form.name], **form.options})
    if labels:
        config.update({"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}})
    config.save_pretrained(folder)


def _their_name(key: str, form: HeadClass) -> str:
    layer, _, parameter = key.partition(".")
    return f"{form.layers[layer]}.{parameter}"


def _head_of(name: str, heads: Collection[str], tasks: Collection[str]) -> str:
    """The head that is meant by its own name or by a task's."""
    if name in heads:
        return name
    if name not in tasks:
        raise UserError(f"the checkpoint has no task {name!r}: it has {', '.join(tasks)}")
    return get_task(name).family.value


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError as error:
        raise UserError(
            f"cannot link {link} to {file} ({error.strerror}): heads share the backbone by hard links; export to a "
            "file system that has them, or without folders for heads (--heads none)"
        ) from error
