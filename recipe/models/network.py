"""Backbone and heads as one module with one forward: what DDP and FSDP wrap.

R rows of the microbatch, L tokens of a row, H hidden size; r rows, b examples and w words of one segment, T tokens of a
target.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.generation.configuration_utils import GenerationConfig
from transformers.modeling_utils import PreTrainedModel

from recipe.algorithms.r3f import find_token_embeddings
from recipe.data.microbatch import IGNORE, Microbatch
from recipe.models.backbone import (
    ENCODER_DECODERS,
    GENERATION_TOKENS,
    SUMMARIZERS,
    BackboneError,
    decode,
    ends_with_cls,
    head_dropout,
    initializer_std,
    max_row_length,
    takes_token_types,
    token_logits,
    transformer_layers,
)
from recipe.models.heads import (
    ClassificationHead,
    MaskedLMHead,
    ScoreHead,
    SpanHead,
    TaggingHead,
    group_choices,
    lowest,
    valid_positions,
)
from recipe.tasks import Family, Task, get_task
from recipe.tasks.task import Search

Outputs = list[dict[str, Tensor]]  # one dictionary a segment, in the microbatch's order


class MultitaskNetwork(nn.Module):
    """One backbone, one classification head per task, one shared head for choices and one for spans (MUPPET, 3.1).

    Regression and tagging tasks have a head each, too.

    Attributes:
        labels: Per task, the class names of its head in the head's order; empty for families without classes.

    Args:
        backbone: From :mod:`recipe.models.backbone`.
        tasks: Keys of the tasks to learn.
        labels: Class names of the tasks for which the catalogue leaves them open; those of others are ignored.
        learn_variances: Whether to have a log variance for each task (uncertainty weighting).

    Raises:
        BackboneError: Summarization tasks with a backbone that has no decoder, or any others with one that learns
            summarization alone.
        ValueError: A task with open labels that ``labels`` does not have.
        UnknownTask: A key that the catalogue does not have.
    """

    backbone: Any  # a PreTrainedModel, whose submodules differ between architectures

    def __init__(
        self,
        backbone: PreTrainedModel,
        tasks: Sequence[str],
        labels: Mapping[str, Sequence[str]] | None = None,
        learn_variances: bool = False,
    ) -> None:
        super().__init__()
        entries = [get_task(key) for key in tasks]
        self.labels = {task.key: _class_names(task, labels or {}) for task in entries}
        self.backbone = backbone
        self.is_encoder_decoder: bool = backbone.config.is_encoder_decoder
        if self.is_encoder_decoder:
            _refuse_other_tasks(backbone, entries)
        else:
            _refuse_decoder_tasks(backbone, entries)
        self.heads = _build_heads(backbone, entries, self.labels)
        # In here, so that DDP and FSDP treat them as they do all others; one a task, so that some can be idle.
        variances = {task: nn.Parameter(torch.zeros(1)) for task in tasks} if learn_variances else {}
        self.log_variances = nn.ParameterDict(variances)
        self._takes_token_types = takes_token_types(backbone)
        self._ends_with_cls = ends_with_cls(backbone)
        self._layer_types = tuple({type(layer) for layer in transformer_layers(backbone)})

    @property
    def embeddings(self) -> nn.Module:
        """The (encoder's) token embeddings, where R3F's noise goes in."""
        return find_token_embeddings(self.backbone)

    def fsdp_wrap_fn(self, module: nn.Module) -> bool:
        """Shard transformer layers as units of their own; embeddings, heads and tied weights stay in the root unit."""
        return isinstance(module, self._layer_types)

    def forward(self, microbatch: Microbatch) -> Outputs:
        """One backbone forward for all rows, then each segment by its head.

        Returns:
            A dictionary a segment. Classification: ``logits`` (b, classes). Commonsense: ``logits`` (b, most choices).
            MRC: ``start`` and ``end`` (r, L). Summarization: ``logits`` (b, T, vocabulary). Regression: ``score`` (b,).
            Tagging: ``logits`` (w, classes). Masked language modelling: ``logits`` (masked tokens, vocabulary), row by
            row, or as summarization where a decoder writes the whole text. Impossible choices and positions hold the
            dtype's lowest finite value. The first dictionary also has the ``log_variances`` (tasks,) of a network that
            learns them.

        Raises:
            ValueError: Rows with a target share the microbatch with rows without: one decoder input cannot serve both.
        """
        hidden = self._hidden(microbatch)
        if torch.is_grad_enabled():
            busy = {head_name(segment["task"], segment["family"]) for segment in microbatch["segments"]}
            hidden = hidden + self._touch(self._idle_modules(busy))
        outputs = [self._predict(segment, hidden, microbatch["attention_mask"]) for segment in microbatch["segments"]]
        if len(self.log_variances):
            outputs[0]["log_variances"] = torch.cat(list(self.log_variances.values()))
        return outputs

    def represent(self, microbatch: Microbatch) -> Tensor:
        """(R, H): what classification heads read of each row."""
        return self._represent(self._hidden(microbatch), microbatch["attention_mask"])

    def new_head(self, task: str) -> nn.Module:
        """Another head for a classification task, with random weights; not part of the network."""
        return _build_heads(self.backbone, [get_task(task)], self.labels)[task]

    def idle_parameters(self, tasks: Collection[str]) -> list[nn.Parameter]:
        """What no example of these tasks reaches: other tasks' heads and log variances, and an untied output layer."""
        busy = {head_name(task.key, task.family.value) for task in map(get_task, tasks)}
        variances = [variance for task, variance in self.log_variances.items() if task not in tasks]
        return [*variances, *(parameter for module in self._idle_modules(busy) for parameter in module.parameters())]

    def generate(self, microbatch: Microbatch, search: Search, synced: bool = False) -> Tensor:
        """Summaries (R, tokens) as ids, whatever search the backbone's own configuration prefers.

        What a row becomes depends neither on the other rows nor on its reference.

        Args:
            microbatch: Its rows are documents.
            search: How. A decoder with fewer positions than the longest summary has tokens ends where they end.
            synced: Whether every rank goes on until all have finished (sharded weights need it).
        """
        config = self.backbone.config
        generation = GenerationConfig(
            max_length=min(search.max_length, max_row_length(self.backbone) or search.max_length),
            min_length=search.min_length,
            num_beams=search.beams,
            length_penalty=search.length_penalty,
            no_repeat_ngram_size=search.no_repeat_ngram,
            early_stopping=search.beams > 1,  # as BART's: done with as many finished summaries as there are beams
            do_sample=False,
            **{key: getattr(config, key) for key in GENERATION_TOKENS},
        )
        return self.backbone.generate(
            input_ids=microbatch["input_ids"],
            attention_mask=microbatch["attention_mask"],
            generation_config=generation,
            use_model_defaults=False,  # or those of the backbone's configuration would stand in for ours, greedy or 0
            synced_gpus=synced,
        )

    def _hidden(self, microbatch: Microbatch) -> Tensor:
        return self._encode_and_decode(microbatch) if self.is_encoder_decoder else self._encode(microbatch)

    def _encode(self, microbatch: Microbatch) -> Tensor:
        inputs = {"input_ids": microbatch["input_ids"], "attention_mask": microbatch["attention_mask"]}
        if self._takes_token_types:
            inputs["token_type_ids"] = microbatch["token_type_ids"]
        if self._ends_with_cls:
            last = _last_tokens(microbatch["attention_mask"])
            inputs["token_type_ids"] = inputs["token_type_ids"].scatter(1, last[:, None], _CLS_TYPE)
        return self.backbone(**inputs).last_hidden_state

    def _encode_and_decode(self, microbatch: Microbatch) -> Tensor:
        """The decoder's states: at the targets where there are any, else at the row's own text, shifted right."""
        targets = _join_targets(microbatch["segments"], microbatch["input_ids"].shape[0])
        input_ids = microbatch["input_ids"]
        return decode(self.backbone, input_ids, microbatch["attention_mask"], input_ids if targets is None else targets)

    def _predict(self, segment: Mapping[str, Any], hidden: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        rows = slice(*segment["rows"])
        family = Family(segment["family"])
        if "target_ids" in segment:
            states = hidden[rows, : segment["target_ids"].shape[1]]
            return {"logits": token_logits(self.backbone, states)}
        head = self.heads[head_name(segment["task"], segment["family"])]
        if family is Family.MASKED_LM:
            originals = segment["originals"]
            states = hidden[rows, : originals.shape[1]][originals != IGNORE]
            return {"logits": head(states, self.backbone.get_input_embeddings().weight)}
        if family is Family.MRC:
            states = hidden[rows]
            if self._ends_with_cls:  # position 0 is "no answer" in what is stored, and in every loss
                states = torch.cat([self._represent(states, attention_mask[rows])[:, None], states[:, 1:]], dim=1)
            start, end = head(states)
            impossible = ~valid_positions(segment["context"], hidden.shape[1])
            return {
                "start": start.masked_fill(impossible, lowest(start)),
                "end": end.masked_fill(impossible, lowest(end)),
            }
        if family is Family.TAGGING:
            example, token = segment["words"].unbind(dim=1)
            return {"logits": head(hidden[rows][example, token])}
        representation = self._represent(hidden[rows], attention_mask[rows])
        if family is Family.COMMONSENSE:
            return {"logits": group_choices(head(representation), segment["choices"])}
        if family is Family.REGRESSION:
            return {"score": head(representation)}
        return {"logits": head(representation)}

    def _represent(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """(r, H): the first token's state; the last one's of a decoder, which only there has seen the whole row."""
        if not (self.is_encoder_decoder or self._ends_with_cls):
            return hidden[:, 0]
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), _last_tokens(attention_mask)]

    def _idle_modules(self, busy: Set[str]) -> list[nn.Module]:
        """What is left to do nothing when these heads are busy."""
        idle = [head for key, head in self.heads.items() if key not in busy]
        untied = self.is_encoder_decoder and not self.backbone.config.tie_word_embeddings
        if untied and busy.isdisjoint(_GENERATION):
            idle.append(self.backbone.get_output_embeddings())
        return idle

    @staticmethod
    def _touch(idle: Iterable[nn.Module]) -> Tensor | float:
        """0, depending on every parameter of modules that a microbatch leaves idle.

        Ranks see different tasks: without it DDP and FSDP2 would wait for, or mix up, gradients that only some have.
        Weights are read as forwards read them, so that R4F's estimate of their norm advances alike on every rank.
        """
        layers = [layer for module in idle for layer in module.modules()]
        tensors = [getattr(layer, name, None) for layer in layers for name in ("weight", "bias")]
        tensors = [tensor for tensor in tensors if isinstance(tensor, Tensor)]
        return 0.0 * sum((tensor.sum(dtype=torch.float32) for tensor in tensors), start=0.0)


_CLS_TYPE = 2  # XLNet's token type of its last token
# With an encoder-decoder served by the backbone's own output layer: no head has these keys.
_GENERATION = (Family.SUMMARIZATION.value, Family.MASKED_LM.value)
_SHARED = (Family.COMMONSENSE.value, Family.MRC.value, *_GENERATION)


def head_name(task: str, family: str) -> str:
    """The head that serves a task: its own, or its family's."""
    return family if family in _SHARED else get_task(task).learned_as


def head_family(name: str) -> Family:
    """The family of the tasks that a head serves."""
    return Family(name) if name in _SHARED else get_task(name).family


def _class_names(task: Task, given: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    if not task.has_open_labels:
        return task.labels
    if not given.get(task.key):
        raise ValueError(f"task {task.key!r}: the catalogue leaves its labels open; give those of its training stream")
    return tuple(given[task.key])


def _build_heads(
    backbone: PreTrainedModel, tasks: Iterable[Task], labels: Mapping[str, Sequence[str]]
) -> nn.ModuleDict:
    hidden, std, dropout = backbone.config.hidden_size, initializer_std(backbone.config), head_dropout(backbone.config)
    heads = nn.ModuleDict()
    for task in tasks:
        key = head_name(task.key, task.family.value)
        if key in heads or (backbone.config.is_encoder_decoder and key in _GENERATION):
            continue
        if task.family is Family.CLASSIFICATION:
            heads[key] = ClassificationHead(hidden, len(labels[task.key]), dropout, std)
        elif task.family is Family.TAGGING:
            heads[key] = TaggingHead(hidden, len(labels[task.key]), dropout, std)
        elif task.family is Family.MRC:
            heads[key] = SpanHead(hidden, std)
        elif task.family is Family.MASKED_LM:
            vocabulary, embedding = cast(nn.Embedding, backbone.get_input_embeddings()).weight.shape
            eps = getattr(backbone.config, "layer_norm_eps", None) or getattr(backbone.config, "norm_eps", 1e-5)
            heads[key] = MaskedLMHead(hidden, embedding, vocabulary, eps, std)
        else:
            heads[key] = ScoreHead(hidden, dropout, std)
    return heads


def _refuse_decoder_tasks(backbone: PreTrainedModel, tasks: Iterable[Task]) -> None:
    refused = [task.key for task in tasks if task.needs_decoder]
    if refused:
        raise BackboneError(
            f"{backbone.config.model_type} has no decoder to learn {', '.join(refused)} with: "
            f"leave these tasks out, or use an encoder-decoder ({', '.join(ENCODER_DECODERS)})"
        )


def _refuse_other_tasks(backbone: PreTrainedModel, tasks: Iterable[Task]) -> None:
    refused = [task.key for task in tasks if not task.needs_decoder]
    if refused and backbone.config.model_type in SUMMARIZERS:
        raise BackboneError(
            f"{backbone.config.model_type} learns summarization alone here, not {', '.join(refused)}: leave these "
            "tasks out, or use an encoder or bart"
        )


def _last_tokens(attention_mask: Tensor) -> Tensor:
    """(r,) position of each row's last token; 0 in rows of padding."""
    return (attention_mask.sum(dim=1) - 1).clamp(min=0)


def _join_targets(segments: Sequence[Mapping[str, Any]], rows: int) -> Tensor | None:
    """Targets (R, longest T) of all segments, IGNORE in rows of padding; None where no segment has any."""
    targets: list[Tensor] = [segment["target_ids"] for segment in segments if "target_ids" in segment]
    if not targets:
        return None
    if len(targets) < len(segments):
        own = ", ".join(segment["task"] for segment in segments if "target_ids" not in segment)
        raise ValueError(
            f"the microbatch mixes rows with a target and rows without ({own}): the batch plan must keep them apart"
        )
    longest = max(target.shape[1] for target in targets)
    joined = torch.cat([F.pad(target, (0, longest - target.shape[1]), value=IGNORE) for target in targets])
    return F.pad(joined, (0, 0, 0, rows - joined.shape[0]), value=IGNORE)
