"""Tiny backbones of every kind and microbatches of every family. Special tokens: 0 first, 1 padding, 2 last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.data.microbatch import IGNORE, Microbatch
from recipe.models.backbone import ENCODER_DECODERS, SUMMARIZERS, build_backbone
from recipe.models.network import MultitaskNetwork
from recipe.tasks import get_task
from tests.tiny_backbones import tiny_backbones

VOCABULARY = 64
CONFIGS = tiny_backbones(longest_row=64)
TASKS = ("rte", "trec", "copa", "race", "squad", "conll2000_chunking", "stsb")
SUMMARIES = ("xsum", "aeslc")
OWN_TEXT = ("classification", "commonsense", "mrc", "tagging", "regression")

Part = tuple[list[list[int]], dict[str, Any]]  # rows' token ids, and the segment without its place


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    words = ["<s>", "<pad>", "</s>", "<unk>", *(f"w{index}" for index in range(VOCABULARY - 4))]
    inner = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    special = {"bos_token": "<s>", "cls_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "sep_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **special)


@pytest.fixture
def network(tokenizer: PreTrainedTokenizerFast) -> Callable[..., MultitaskNetwork]:
    """``network(kind)``: random weights, predictions far from uniform, no dropout unless given."""

    def build(kind: str, dropout: float = 0.0, seed: int = 0) -> MultitaskNetwork:
        torch.manual_seed(seed)
        backbone = build_backbone(CONFIGS[kind], tokenizer, dropout=dropout)
        built = MultitaskNetwork(backbone, tasks_of(kind))
        with torch.no_grad():
            for parameter in built.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
        return built

    return build


def tasks_of(kind: str) -> tuple[str, ...]:
    return (*(() if kind in SUMMARIZERS else TASKS), *(SUMMARIES if kind in ENCODER_DECODERS else ()))


def families_of(kind: str) -> tuple[str, ...]:
    return (
        *(() if kind in SUMMARIZERS else OWN_TEXT),
        *(("summarization",) if kind in ENCODER_DECODERS else ()),
        *(("infilling",) if kind == "bart" else ()),
    )


def draw_row(rng: np.random.Generator, length: int) -> list[int]:
    return [0, *rng.integers(4, VOCABULARY, length - 2).tolist(), 2]


def classification(task: str = "trec", lengths: tuple[int, ...] = (9, 5, 7), seed: int = 0) -> Part:
    rng = np.random.default_rng(seed)
    classes = {"trec": 6, "rte": 2}[task]
    labels = torch.from_numpy(rng.integers(0, classes, len(lengths)))
    return [draw_row(rng, n) for n in lengths], {"task": task, "family": "classification", "labels": labels}


def commonsense(task: str = "race", choices: tuple[int, ...] = (3, 2), seed: int = 1) -> Part:
    rng = np.random.default_rng(seed)
    rows = [draw_row(rng, int(rng.integers(4, 12))) for _ in range(sum(choices))]
    labels = torch.tensor([int(rng.integers(0, n)) for n in choices])
    return rows, {"task": task, "family": "commonsense", "labels": labels, "choices": torch.tensor(choices)}


def mrc(task: str = "squad", windows: tuple[int, ...] = (2, 1), seed: int = 2) -> Part:
    rng = np.random.default_rng(seed)
    rows, spans, context = [], [], []
    for _ in range(sum(windows)):
        length = int(rng.integers(10, 16))
        rows.append(draw_row(rng, length))
        context.append((4, length - 1))
        spans.append((5, 7))
    spans[0] = (0, 0)  # a window without the answer
    references = [
        {
            "answers": ["an answer"],
            "context": "x" * 99,
            "offsets": [np.array([(3 * i, 3 * i + 2) for i in range(16)], dtype=np.int32) for _ in range(count)],
        }
        for count in windows
    ]
    return rows, {
        "task": task,
        "family": "mrc",
        "row_example": torch.repeat_interleave(torch.arange(len(windows)), torch.tensor(windows)),
        "spans": torch.tensor(spans),
        "context": torch.tensor(context),
        "references": references,
    }


def summarization(task: str = "xsum", lengths: tuple[int, ...] = (5, 8), seed: int = 3) -> Part:
    rng = np.random.default_rng(seed)
    targets = [torch.tensor(draw_row(rng, n)) for n in lengths]
    target_ids = torch.nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORE)
    references = [{"summary": f"summary {index}"} for index in range(len(lengths))]
    rows = [draw_row(rng, int(rng.integers(8, 14))) for _ in lengths]
    return rows, {"task": task, "family": "summarization", "target_ids": target_ids, "references": references}


def tagging(task: str = "conll2000_chunking", words: tuple[int, ...] = (5, 1, 3), seed: int = 4) -> Part:
    """Words of one or two tokens; the first sentence has a word whose label cannot be learned."""
    rng = np.random.default_rng(seed)
    labels = get_task(task).labels
    first_tokens = [1 + np.cumsum(rng.integers(1, 3, count)) - 1 for count in words]
    numbers = rng.integers(0, len(labels), sum(words))
    tags = np.split(np.array(labels)[numbers], np.cumsum(words)[:-1])
    numbers[0] = IGNORE
    example = np.repeat(np.arange(len(words)), words)
    return [draw_row(rng, int(first[-1]) + 3) for first in first_tokens], {
        "task": task,
        "family": "tagging",
        "words": torch.from_numpy(np.stack([example, np.concatenate(first_tokens)], axis=1)),
        "labels": torch.from_numpy(numbers),
        "references": [{"tags": own.tolist(), "tree": ""} for own in tags],
    }


def regression(task: str = "stsb", lengths: tuple[int, ...] = (9, 6), seed: int = 5) -> Part:
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.random(len(lengths), dtype=np.float32))
    return [draw_row(rng, n) for n in lengths], {"task": task, "family": "regression", "scores": scores}


def masked_lm(task: str = "tapt_rte", lengths: tuple[int, ...] = (9, 6), seed: int = 4) -> Part:
    """The first two tokens after <s> are predicted."""
    rng = np.random.default_rng(seed)
    originals = torch.full((len(lengths), max(lengths)), IGNORE)
    originals[:, 1:3] = torch.from_numpy(rng.integers(4, VOCABULARY, (len(lengths), 2)))
    return [draw_row(rng, n) for n in lengths], {"task": task, "family": "masked_lm", "originals": originals}


def infilling(task: str = "tapt_rte", lengths: tuple[int, ...] = (9, 6), seed: int = 6) -> Part:
    """The decoder writes the whole text; three of its tokens are hidden behind one mask, which is 3."""
    rng = np.random.default_rng(seed)
    texts = [draw_row(rng, n) for n in lengths]
    target_ids = torch.full((len(lengths), max(lengths)), IGNORE)
    for target, text in zip(target_ids, texts, strict=True):
        target[: len(text)] = torch.tensor(text)
    originals = torch.full_like(target_ids, IGNORE)
    originals[:, 2:5] = target_ids[:, 2:5]
    rows = [[*text[:2], 3, *text[5:]] for text in texts]
    return rows, {"task": task, "family": "masked_lm", "target_ids": target_ids, "originals": originals}


FAMILIES: dict[str, Callable[..., Part]] = {
    "classification": classification,
    "commonsense": commonsense,
    "mrc": mrc,
    "summarization": summarization,
    "tagging": tagging,
    "regression": regression,
    "masked_lm": masked_lm,
    "infilling": infilling,
}


def join_parts(*parts: Part, extra_columns: int = 0, extra_rows: int = 0) -> Microbatch:
    """A microbatch of the parts in order, with that much more padding than it needs."""
    rows = [row for part_rows, _ in parts for row in part_rows]
    shape = (len(rows) + extra_rows, max(map(len, rows)) + extra_columns)
    input_ids, attention_mask = torch.ones(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    for index, row in enumerate(rows):
        input_ids[index, : len(row)] = torch.tensor(row)
        attention_mask[index, : len(row)] = 1
    token_types = attention_mask * (torch.arange(shape[1]) >= 3)
    segments, row, example = [], 0, 0
    for part_rows, segment in parts:
        keys = ("references", "labels", "scores", "target_ids", "originals")
        examples = next(len(segment[k]) for k in keys if k in segment)
        segments.append({**segment, "rows": (row, row + len(part_rows)), "examples": (example, example + examples)})
        row, example = row + len(part_rows), example + examples
    return Microbatch(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_types, segments=segments)


@pytest.fixture(params=sorted(CONFIGS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def part() -> Callable[..., Part]:
    """``part(family, **options)``."""
    return lambda family, **options: FAMILIES[family](**options)


@pytest.fixture
def join() -> Callable[..., Microbatch]:
    return join_parts
