"""XLNet's rows, whose first token is of the text and whose last is <cls>: from text to transformers' own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from transformers import XLNetForQuestionAnsweringSimple, XLNetForSequenceClassification
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode import EncodedExample, Limits, encode
from data_prep.examples import ClassificationExample, Example, SpanExample
from recipe.data.collate import collate
from recipe.data.microbatch import Microbatch
from recipe.data.tokenizer import load_tokenizer
from recipe.models.backbone import build_backbone
from recipe.models.multitask import MultitaskModel
from recipe.models.network import MultitaskNetwork
from recipe.tasks import get_task
from tests.recipe.models.conftest import CONFIGS
from tests.sentencepiece_folders import WORDS, write_sentencepiece_folder

TEXTS = [" ".join(WORDS[start:stop]) for start, stop in ((0, 9), (20, 23), (40, 47))]
SECOND = [" ".join(WORDS[start:stop]) for start, stop in ((50, 54), (60, 72), (80, 81))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return load_tokenizer(write_sentencepiece_folder(tmp_path_factory.mktemp("xlnet"), "xlnet"))


@pytest.fixture
def model(tokenizer: PreTrainedTokenizerFast) -> MultitaskModel:
    torch.manual_seed(0)
    tasks = ["trec", "rte", "squad"]
    network = MultitaskNetwork(build_backbone(CONFIGS["xlnet"], tokenizer, dropout=0.0), tasks)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return MultitaskModel(network, tokenizer, tasks).eval()


def read(key: str, examples: Sequence[Example], tokenizer: PreTrainedTokenizerFast) -> Microbatch:
    """What the model reads of examples that were converted and stored."""
    encoded = encode(examples, get_task(key).family, tokenizer, Limits(max_length=64, stride=16), "train")
    stored = [(get_task(key), outcome.columns) for outcome in encoded if isinstance(outcome, EncodedExample)]
    assert isinstance(tokenizer.pad_token_id, int)
    return collate(stored, tokenizer.pad_token_id)


@pytest.mark.parametrize(("key", "second"), [("trec", [None] * 3), ("rte", SECOND)])
@torch.no_grad()
def test_classification_equals_hugging_face_on_its_tokenizers_own_rows(model, tokenizer, key, second):
    examples = [ClassificationExample(*row) for row in zip(TEXTS, (0, 1, 1), second, strict=True)]
    batch: Any = read(key, examples, tokenizer)
    config, head = model.network.backbone.config, model.network.heads[key]
    config.num_labels = len(get_task(key).labels)
    theirs = XLNetForSequenceClassification(config).eval()
    theirs.transformer.load_state_dict(model.network.backbone.state_dict())
    theirs.sequence_summary.summary, theirs.logits_proj = head.dense, head.out_proj
    texts: Any = (TEXTS,) if second[0] is None else (TEXTS, second)
    rows = tokenizer(*texts, padding=True, return_tensors="pt")
    assert (rows["input_ids"][:, 0] == tokenizer.pad_token_id).any(), "padding is on the left"
    assert set(rows["token_type_ids"].unique().tolist()) == ({0, 2, 3} if second[0] is None else {0, 1, 2, 3})
    expected = theirs(**rows, labels=batch["segments"][0]["labels"])
    torch.testing.assert_close(model(batch)[0]["logits"], expected.logits, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(model.loss(model(batch), batch).mean(), expected.loss, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_an_answer_is_sought_in_the_context_and_no_answer_at_cls(model, tokenizer):
    context = SECOND[1]
    answer = (context.index(WORDS[63]), context.index(WORDS[63]) + 3)
    examples = [SpanExample(TEXTS[1], context, spans, ("",)) for spans in ((), (answer,))]
    batch: Any = read("squad", examples, tokenizer)
    (segment,) = batch["segments"]
    theirs = XLNetForQuestionAnsweringSimple(model.network.backbone.config).eval()
    theirs.transformer.load_state_dict(model.network.backbone.state_dict())
    theirs.qa_outputs = model.network.heads["mrc"].out_proj
    found = theirs(**tokenizer([TEXTS[1]] * 2, [context] * 2, return_tensors="pt"))
    (start, stop), (first, last) = segment["context"][0].tolist(), segment["spans"][1].tolist()
    assert tokenizer.decode(batch["input_ids"][1, first : last + 1]) == WORDS[63]
    assert segment["spans"][0].tolist() == [0, 0]
    expected = torch.zeros(2)
    for logits in (found.start_logits, found.end_logits):
        log_p = torch.cat([logits[:, -1:], logits[:, start:stop]], dim=1).log_softmax(dim=1)
        right = 1 + (first if logits is found.start_logits else last) - start
        expected -= torch.stack([log_p[0, 0], log_p[1, right]]) / 2
    torch.testing.assert_close(model.loss(model(batch), batch), expected, atol=1e-6, rtol=1e-6)
