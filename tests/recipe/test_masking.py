"""Masked language modelling: what is masked, its head, its loss, and runs on a task's own text."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForMaskedLM
from transformers.models.bert.tokenization_bert_fast import BertTokenizerFast

from recipe.config import load_config
from recipe.data.batch_plan import PlanSettings, Strategy
from recipe.data.loader import build_train_data
from recipe.data.masking import Masking, infill_tokens, mask_tokens, word_starts
from recipe.data.microbatch import IGNORE, count_tokens
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.errors import UserError
from recipe.export import export
from recipe.models.backbone import ENCODER_DECODERS, build_backbone
from recipe.models.build import build_model
from recipe.models.losses import masked_lm_loss, segment_log_outcomes
from recipe.models.network import MultitaskNetwork
from recipe.score import score_run
from recipe.train import train
from tests.tiny_run import TINY

MASK, VOCABULARY = 3, 1000


def test_15_percent_are_predicted_of_which_80_10_10_are_masked_replaced_and_kept():
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, VOCABULARY, 200_000)
    special = np.zeros(len(tokens), bool)
    special[::50] = True
    read, originals = mask_tokens(tokens, special, MASK, VOCABULARY, rng)
    chosen = originals != IGNORE
    assert not (chosen & special).any()
    assert (originals[chosen] == tokens[chosen]).all() and (read[~chosen] == tokens[~chosen]).all()
    assert chosen.sum() / (~special).sum() == pytest.approx(0.15, abs=1e-4)
    masked, same = (read == MASK)[chosen].mean(), (read == tokens)[chosen].mean()
    assert masked == pytest.approx(0.8, abs=0.01)
    assert same == pytest.approx(0.1 + 0.1 / VOCABULARY, abs=0.01)


def test_short_rows_have_a_masked_token_and_15_percent_in_the_mean():
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(4000):
        _, originals = mask_tokens(np.arange(4, 30), np.zeros(26, bool), MASK, VOCABULARY, rng)
        counts.append((originals != IGNORE).sum())
    assert min(counts) >= 1 and np.mean(counts) / 26 == pytest.approx(0.15, abs=2e-3)
    _, originals = mask_tokens(np.arange(2), np.ones(2, bool), MASK, VOCABULARY, rng)
    assert (originals == IGNORE).all()


def test_whole_words_are_hidden_as_a_whole_and_make_15_percent():
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(2000):
        words = np.repeat(np.arange(30), rng.integers(1, 5, 30))
        special = np.isin(words, (0, 14, 29))
        _, originals = mask_tokens(rng.integers(4, VOCABULARY, len(words)), special, MASK, VOCABULARY, rng, words)
        chosen = originals != IGNORE
        assert chosen.any() and not (chosen & special).any()
        assert all(chosen[words == word].all() or not chosen[words == word].any() for word in range(30))
        shares.append(chosen.sum() / (~special).sum())
    assert np.mean(shares) == pytest.approx(0.15, abs=2e-3)


def test_30_percent_are_infilled_in_spans_of_three_behind_one_mask_each():
    rng = np.random.default_rng(0)
    tokens = np.arange(4, 100_004)  # all different: where a token stood is known by its id
    special = np.zeros(len(tokens), bool)
    special[::500] = True
    read, originals = infill_tokens(tokens, special, MASK, rng)
    hidden = originals != IGNORE
    assert not (hidden & special).any() and (originals[hidden] == tokens[hidden]).all()
    assert (read[read != MASK] == tokens[~hidden]).all(), "what is not hidden stays, in order"
    assert hidden.sum() / (~special).sum() == pytest.approx(0.3, abs=1e-4)
    missing, masks = _gaps(read, tokens)
    assert missing.sum() == hidden.sum() and (masks[missing > 0] >= 1).all()
    assert hidden.sum() / masks.sum() == pytest.approx(3, abs=0.05)
    lengths = missing[masks == 1]  # behind a single mask, which is nearly always one span
    for length, share in enumerate((0.050, 0.149, 0.224, 0.224, 0.168, 0.101)):  # Poisson(3)
        assert (lengths == length).mean() == pytest.approx(share, abs=0.015)


@pytest.mark.parametrize("whole_words", [False, True])
def test_infilled_rows_never_grow_and_whole_words_are_never_cut(whole_words):
    rng = np.random.default_rng(0)
    shares, empty = [], 0
    for size in np.tile((1, 2, 4, 7, 30), 400):
        words = np.repeat(np.arange(size + 2), rng.integers(1, 5, size + 2))
        special = np.isin(words, (0, size // 2, size + 1))
        tokens = np.arange(4, 4 + len(words))
        read, originals = infill_tokens(tokens, special, MASK, rng, words if whole_words else None)
        hidden = originals != IGNORE
        assert len(read) <= len(tokens) and (read[read != MASK] == tokens[~hidden]).all()
        assert hidden.any() or special.all()
        missing, masks = _gaps(read, tokens)
        assert (masks[missing > 0] >= 1).all()
        empty += masks[missing == 0].sum()
        if whole_words:
            assert all(hidden[words == word].all() or not hidden[words == word].any() for word in words)
            after = np.flatnonzero(~hidden)[np.flatnonzero(masks[:-1])]
            assert (words[after] != words[after - 1]).all(), "a mask stands between words"
        if size == 30:
            shares.append(hidden.sum() / (~special).sum())
    assert empty > 10, "some spans must have been empty"
    assert np.mean(shares) == pytest.approx(0.3, abs=0.01)


def _gaps(read: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Before each visible token, and at the end: tokens that are missing, masks that stand there. Ids must rise."""
    visible = np.flatnonzero(read != MASK)
    places = np.searchsorted(tokens, read[visible])
    missing = np.diff(places, prepend=-1, append=len(tokens)) - 1
    return missing, np.diff(visible, prepend=-1, append=len(read)) - 1


@pytest.mark.parametrize("kind", ["byte pairs", "word pieces"])
def test_words_begin_where_the_tokenizer_says(kind, tiny_tokenizer_folder, tmp_path):
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    if kind == "word pieces":
        tokenizer = _word_pieces(tmp_path, "un", "##believ", "##able", "ta", "##les")
    text = f"unbelievable tales{tokenizer.sep_token}unbelievable"
    ids = np.array(tokenizer(text, add_special_tokens=False)["input_ids"])
    numbers = word_starts(tokenizer)[ids].cumsum()[ids != tokenizer.sep_token_id]
    ids = ids[ids != tokenizer.sep_token_id]
    words = [str(tokenizer.decode(ids[numbers == number])).strip() for number in np.unique(numbers)]
    assert words == ["unbelievable", "tales", "unbelievable"]
    assert len(ids) > len(words), "a word must have had several tokens"


def test_a_tokenizer_that_does_not_mark_words_is_refused(tmp_path):
    tokenizer = _word_pieces(tmp_path, "a")
    with pytest.raises(UserError, match=r"does not mark where words begin: leave out data\.mask_whole_words"):
        Masking.of(tokenizer, seed=0, whole_words=True)


def _word_pieces(folder: Path, *vocabulary: str) -> BertTokenizerFast:
    special = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    (folder / "vocab.txt").write_text("\n".join((*special, *vocabulary)))
    return BertTokenizerFast(str(folder / "vocab.txt"))


@pytest.mark.parametrize("infills", [False, True])
def test_what_is_masked_depends_on_seed_moment_and_example_alone(infills):
    masking = Masking(MASK, (0, 1, 2, MASK), VOCABULARY, seed=7, infills=infills)
    tokens = np.arange(4, 200)
    once = masking(tokens, (1, 2), 3)
    assert all((a == b).all() for a, b in zip(once, masking(tokens, (1, 2), 3), strict=True))
    others = [masking(tokens, (1, 3), 3), masking(tokens, (1, 2), 4)]
    others.append(replace(masking, seed=8)(tokens, (1, 2), 3))
    assert all((once[1] != other[1]).any() for other in others)


def test_the_loss_is_each_examples_mean_over_its_masked_tokens_and_log_n_the_vocabularys():
    originals = torch.tensor([[IGNORE, 5, 6], [7, IGNORE, IGNORE], [IGNORE, IGNORE, IGNORE]])
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0))
    one, two, three = F.cross_entropy(logits, torch.tensor([5, 6, 7]), reduction="none")
    torch.testing.assert_close(masked_lm_loss(logits, originals), torch.stack([(one + two) / 2, three, 0 * one]))
    segment = {"family": "masked_lm", "originals": originals, "examples": (4, 7)}
    assert segment_log_outcomes({"logits": logits}, segment).tolist() == pytest.approx([math.log(50)] * 3)


@pytest.mark.parametrize("kind", ["roberta", "bert", "modernbert"])
def test_the_head_of_a_checkpoint_predicts_as_hugging_face_does(kind, tmp_path, tiny_tokenizer_folder):
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    torch.manual_seed(0)
    theirs = AutoModelForMaskedLM.from_config(build_backbone(TINY[kind], tokenizer, dropout=0.0).config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    theirs.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = _config(tmp_path, tmp_path / "model")
    network = build_model(config, tokenizer).network.eval()
    ids = torch.tensor([[0, 20, 30, 40, 2]])
    originals = torch.tensor([[IGNORE, 9, IGNORE, 10, IGNORE]])
    (output,) = network(_microbatch(ids, originals))
    expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, [1, 3]]
    torch.testing.assert_close(output["logits"], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(set(TINY) - set(ENCODER_DECODERS)))
def test_every_encoder_has_a_head_on_its_own_embeddings(kind, tiny_tokenizer_folder):
    network = MultitaskNetwork(build_backbone(TINY[kind], load_tokenizer(tiny_tokenizer_folder)), ["tapt_rte", "rte"])
    ids, originals = torch.tensor([[0, 20, 30, 2]]), torch.tensor([[IGNORE, 9, IGNORE, IGNORE]])
    (output,) = network(_microbatch(ids, originals))
    assert output["logits"].shape == (1, len(network.backbone.get_input_embeddings().weight))
    output["logits"].sum().backward()
    assert all(p.grad is not None for p in network.heads.parameters()), "idle heads are touched"
    assert (network.backbone.get_input_embeddings().weight.grad[500:] != 0).any(), "every embedding is an outcome"


def test_an_encoder_decoders_rows_are_infilled_alike_on_any_number_of_ranks_and_after_resuming(
    miniature_store, tiny_tokenizer_folder, tmp_path
):
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    store = open_store(miniature_store, tokenizer, ["cola", "tapt_copa", "aeslc"], "train", str(tmp_path))
    settings = PlanSettings(Strategy.MIXED, step_examples=48, token_budget=1024, seed=3)

    def infilled(epoch: int, ranks: int = 1, skip: int = 0) -> dict[tuple[int, ...], tuple[int, ...]]:
        """What is read of each masked row, by the row as it was."""
        rows = {}
        for rank in range(ranks):
            loader = cast(Any, build_train_data(store, settings, tokenizer, encoder_decoder=True, workers=0).dataloader)
            loader.dataset.samples_to_skip = skip
            loader.batch_sampler.set_epoch(epoch)
            loader.batch_sampler.rank, loader.batch_sampler.num_replicas = rank, ranks
            for microbatch in chain.from_iterable(loader):
                rows |= _infilled_rows(microbatch, padding=1)
                assert _padded_tokens(microbatch) <= settings.token_budget
        return rows

    whole = infilled(epoch=0)
    stored = [store[i] for i in np.flatnonzero(store.task_of == 1)]
    assert set(whole) == {tuple(example["tokens"][: example["row_lengths"][0]].tolist()) for example in stored}
    assert all(len(read) <= len(text) and tokenizer.mask_token_id in read for text, read in whole.items())
    assert infilled(epoch=0, ranks=2) == whole
    rest = infilled(epoch=0, skip=96)
    assert 0 < len(rest) < len(whole) and rest.items() <= whole.items()
    again = infilled(epoch=1)
    assert set(again) == set(whole) and sum(again[text] != read for text, read in whole.items()) > len(whole) / 2


def _infilled_rows(microbatch: Any, padding: int) -> dict[tuple[int, ...], tuple[int, ...]]:
    segments = [segment for segment in microbatch["segments"] if segment["family"] == "masked_lm"]
    pairs = [
        pair for s in segments for pair in zip(s["target_ids"], microbatch["input_ids"][slice(*s["rows"])], strict=True)
    ]
    return {tuple(target[target != IGNORE].tolist()): tuple(read[read != padding].tolist()) for target, read in pairs}


def _padded_tokens(microbatch: Any) -> int:
    """What the plan counts: rows x (longest row read + longest row written)."""
    rows, longest = microbatch["input_ids"].shape
    targets = [segment["target_ids"] for segment in microbatch["segments"] if "target_ids" in segment]
    assert len(targets) in (0, len(microbatch["segments"])), "rows with a target are by themselves"
    real = sum(int((target != IGNORE).sum()) for target in targets)
    assert count_tokens(microbatch) == int(microbatch["attention_mask"].sum()) + real
    return rows * (longest + max((target.shape[1] for target in targets), default=longest))


def test_a_run_learns_a_tasks_own_text_and_its_export_starts_another(run_yaml, tmp_path):
    """With MT-TARTAN and all else that acts on losses: the stream of the end task serves both of its tasks."""
    overrides = [
        "tasks=[cola,tapt_cola]",
        "data.mask_whole_words=true",
        "algorithms.tartan.method=mt",
        "max_duration=12ep",
        "eval_interval=12ep",
    ]
    folder = train(load_config(run_yaml, [*overrides, "optimizer.lr=3e-3"]))
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    losses = [record[name] for record in records if (name := "loss/scaled/tapt_cola") in record]
    assert losses[0] == pytest.approx(1, abs=0.1) and losses[-1] < 0.85
    report = score_run(folder.path, "best").read_text()
    assert "tapt_cola" in report and "commonest token" in report
    export(folder.checkpoints / "best-rank0.pt", tmp_path / "exported")
    config = load_config(run_yaml, [*overrides])
    config.backbone.config, config.backbone.name = None, str(tmp_path / "exported")
    network = build_model(config, load_tokenizer(str(tmp_path / "exported"))).network
    trained = torch.load(folder.checkpoints / "best-rank0.pt", weights_only=False)["state"]["model"]
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, trained[f"network.{name}"], rtol=0, atol=0)


def test_an_encoder_decoder_learns_to_infill_beside_its_end_task(run_yaml, tmp_path):
    """META-TARTAN with R3F and log n; scores are recorded, and a folder exported."""
    overrides = [
        "tasks=[cola,tapt_cola]",
        "data.mask_whole_words=true",
        "algorithms.tartan.method=meta",
        "algorithms.tartan.end_task=cola",
        "algorithms.tartan.head_examples=8",
        "algorithms.tartan.examples=8",
        "max_duration=18ba",
        "eval_interval=18ba",
        "optimizer.lr=1e-2",
    ]
    config = load_config(run_yaml, overrides)
    config.backbone.config = TINY["bart"]
    folder = train(config)
    records = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    losses = [record[name] for record in records if (name := "loss/scaled/tapt_cola") in record]
    assert losses[0] == pytest.approx(1, abs=0.1) and losses[-1] < 0.85
    weights = [record[name] for record in records if (name := "tartan/weight/tapt_cola") in record]
    assert weights[0] != weights[-1]
    (score,) = [record[name] for record in records if (name := "metrics/cola/cola/matthews") in record]
    best = torch.load(folder.checkpoints / "best-rank0.pt", weights_only=False)["state"]["callbacks"]
    assert dict(best)["BestCheckpoint"]["best"] == pytest.approx(score), "the end task's alone, not the mean"
    report = score_run(folder.path, "best").read_text()
    assert "tapt_cola" in report and "commonest token" in report
    export(folder.checkpoints / "best-rank0.pt", tmp_path / "exported")


def _config(folder: Path, model: Path):
    path = folder / "run.yaml"
    path.write_text(f"run_name: x\nbackbone: {{name: {model}}}\ntasks: [tapt_rte]\ndata: {{store: x}}\n")
    return load_config(path)


def _microbatch(ids: torch.Tensor, originals: torch.Tensor):
    segment = {"task": "tapt_rte", "family": "masked_lm", "rows": (0, 1), "examples": (0, 1), "originals": originals}
    ones = torch.ones_like(ids)
    return {"input_ids": ids, "attention_mask": ones, "token_type_ids": 0 * ones, "segments": [segment]}
