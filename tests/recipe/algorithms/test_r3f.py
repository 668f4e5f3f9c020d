from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from composer import Algorithm
from composer.algorithms import GradientClipping
from composer.core import Event
from transformers import BartConfig, BartModel, T5Config, T5Model

from recipe.algorithms.log_n_scaling import LogNLossScaling
from recipe.algorithms.r3f import (
    R3F,
    R4F,
    add_spectral_norm,
    embedding_noise,
    find_token_embeddings,
    remove_spectral_norm,
)
from recipe.algorithms.r3f.r4f import find_projections

SEED, EPS, WEIGHT = 11, 0.05, 0.7


def draw_noise(noise, shape, batch, microbatch):
    words = np.random.SeedSequence([SEED, batch, microbatch, 0]).generate_state(1, np.uint64)
    generator = torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
    z = torch.empty(shape)
    return z.uniform_(-EPS, EPS, generator=generator) if noise == "uniform" else z.normal_(0, EPS, generator=generator)


def train_by_hand(model, examples, noise, scale):
    """The paper's equation without hooks, algorithms or Trainer: embeddings are looked up, moved, and passed in."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(2):
        optimizer.zero_grad()
        for microbatch in range(2):
            first = 4 * step + 2 * microbatch
            ids = torch.stack([example["input_ids"] for example in examples[first : first + 2]])
            labels = torch.stack([example["labels"] for example in examples[first : first + 2]])
            clean = model.model.roberta.embeddings.word_embeddings(ids)
            log_p = model.model(inputs_embeds=clean).logits.log_softmax(-1)
            moved = clean + draw_noise(noise, clean.shape, step, microbatch)
            log_q = model.model(inputs_embeds=moved).logits.log_softmax(-1)
            divergence = F.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1)
            divergence = divergence + F.kl_div(log_p, log_q, log_target=True, reduction="none").sum(-1)
            loss = F.nll_loss(log_p, labels, reduction="none") / scale + WEIGHT * divergence
            (loss.sum() / 4).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize("noise", ["uniform", "normal"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_r3f_in_a_foreign_trainer_equals_the_equation(plain_classifier, fit, examples, noise, scaled, reduction):
    algorithms: list[Algorithm] = [R3F(WEIGHT, EPS, noise, SEED)]
    if scaled:
        algorithms.append(LogNLossScaling(lambda outputs, batch: math.log(outputs.shape[-1])))
    trained = fit(plain_classifier(reduction), algorithms)
    expected = train_by_hand(plain_classifier(), examples, noise, math.log(5) if scaled else 1.0)
    for found, wanted in zip(trained.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, atol=2e-6, rtol=1e-4)
    without = fit(plain_classifier(reduction), algorithms[1:]).model.classifier.out_proj.weight
    assert (trained.model.classifier.out_proj.weight - without).abs().max() > 1e-4


def test_the_order_of_the_algorithms_changes_nothing(plain_classifier, fit):
    results = []
    for order in itertools.permutations(range(3)):
        algorithms = [
            R3F(WEIGHT, EPS, seed=SEED),
            LogNLossScaling(lambda outputs, batch: math.log(outputs.shape[-1])),
            GradientClipping("norm", 0.5),
        ]
        results.append(fit(plain_classifier(), [algorithms[index] for index in order]).state_dict())
    for result in results[1:]:
        for name, tensor in result.items():
            torch.testing.assert_close(tensor, results[0][name], rtol=0, atol=0)


@pytest.mark.parametrize(("weight", "forwards"), [(0.0, 4), (1.0, 8)])
def test_weight_zero_costs_no_second_forward(plain_classifier, fit, weight, forwards):
    model, calls = plain_classifier(), []
    model.model.register_forward_hook(lambda *args: calls.append(1))
    fit(model, [R3F(weight, EPS)])
    assert len(calls) == forwards


def test_the_noise_reaches_the_encoder_and_leaves_with_its_context(plain_classifier, examples):
    model = plain_classifier().eval()
    batch = {key: torch.stack([example[key] for example in examples]) for key in examples[0]}
    embeddings = find_token_embeddings(model)

    def predict(seed):
        hidden = []
        handle = model.model.roberta.register_forward_hook(lambda m, i, output: hidden.append(output[0]))
        with embedding_noise(embeddings, EPS, "uniform", torch.Generator().manual_seed(seed)):
            logits = model(batch)
        handle.remove()
        return logits, hidden[0]

    (q1, h1), (q2, h2), (q1_again, _) = predict(1), predict(2), predict(1)
    p = model(batch)
    assert not torch.equal(q1, q2) and not torch.equal(h1, h2) and not torch.equal(q1, p)
    torch.testing.assert_close(q1, q1_again, rtol=0, atol=0)
    torch.testing.assert_close(model(batch), p, rtol=0, atol=0)


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_noise_has_the_size_asked_for_and_leaves_dropouts_generator_alone(noise):
    embeddings = torch.nn.Embedding(10, 1000)
    before = torch.get_rng_state()
    with embedding_noise(embeddings, 1e-2, noise, torch.Generator().manual_seed(0)):
        z = embeddings(torch.arange(10)) - embeddings.weight
    assert torch.equal(before, torch.get_rng_state())
    if noise == "uniform":
        assert 0.99e-2 < z.abs().max() <= 1.001e-2 and abs(z.mean()) < 5e-4
    else:
        assert z.std().item() == pytest.approx(1e-2, rel=0.05)


def test_noise_this_small_is_not_rounded_away_under_autocast():
    embeddings = torch.nn.Embedding(10, 100).bfloat16()
    with (
        torch.autocast("cpu", torch.bfloat16),
        embedding_noise(embeddings, 1e-5, "uniform", torch.Generator().manual_seed(0)),
    ):
        z = embeddings(torch.arange(10)) - embeddings.weight.float()
    assert (z != 0).float().mean() > 0.9


def test_it_runs_in_training_only():
    matched = {event for event in Event if R3F().match(event, None)}  # pyright: ignore[reportArgumentType]
    assert matched == {Event.FIT_START, Event.BEFORE_TRAIN_BATCH, Event.BEFORE_BACKWARD}


def test_the_last_divergence_is_kept_for_logging(plain_classifier, fit):
    algorithm = R3F(WEIGHT, EPS)
    assert algorithm.last_divergence is None
    fit(plain_classifier(), [algorithm])
    assert algorithm.last_divergence is not None and algorithm.last_divergence > 0
    assert not algorithm.last_divergence.requires_grad


def test_reentrant_checkpointing_is_refused_and_the_other_kind_changes_nothing(plain_classifier, fit):
    model = plain_classifier()
    model.model.gradient_checkpointing_enable()
    with pytest.raises(ValueError, match="use_reentrant=False"):
        fit(model, [R3F(WEIGHT, EPS)])
    model = plain_classifier()
    model.model.gradient_checkpointing_enable({"use_reentrant": False})
    expected = fit(plain_classifier(), [R3F(WEIGHT, EPS)])
    for found, wanted in zip(fit(model, [R3F(WEIGHT, EPS)]).parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


def test_an_encoder_decoders_noise_goes_to_the_encoder_only():
    config = BartConfig(vocab_size=32, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16)
    model = BartModel(config)
    assert find_token_embeddings(model) is model.encoder.embed_tokens
    assert model.encoder.embed_tokens is not model.decoder.embed_tokens


def test_an_embedding_module_shared_with_the_decoder_is_refused():
    with pytest.raises(ValueError, match="share one embedding"):
        find_token_embeddings(T5Model(T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)))


def test_a_model_without_token_embeddings_is_an_error_with_the_fix():
    with pytest.raises(ValueError, match="embeddings=lambda"):
        find_token_embeddings(torch.nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("options", "name"), [({"weight": -1.0}, "weight"), ({"eps": 0.0}, "eps"), ({"noise": "unifrom"}, "unifrom")]
)
def test_impossible_arguments_are_refused_by_name(options, name):
    with pytest.raises(ValueError, match=name):
        R3F(**options)


def test_r4f_trains_heads_of_spectral_norm_one(plain_classifier, fit):
    trained = fit(plain_classifier(), [R4F(weight=WEIGHT, eps=EPS)]).eval()
    projection = trained.model.classifier.out_proj
    assert torch.linalg.matrix_norm(projection.weight, 2).item() == pytest.approx(1.0, abs=1e-2)
    moved = projection.parametrizations.weight.original - plain_classifier().model.classifier.out_proj.weight
    assert moved.abs().max() > 1e-4


def test_spectral_norm_comes_off_for_export_without_changing_predictions(plain_classifier, fit, examples):
    trained = fit(plain_classifier(), [R4F(weight=WEIGHT, eps=EPS)]).eval()
    batch = {key: torch.stack([example[key] for example in examples]) for key in examples[0]}
    before = trained(batch)
    remove_spectral_norm([trained.model.classifier.out_proj])
    torch.testing.assert_close(trained(batch), before)
    assert trained.state_dict().keys() == plain_classifier().state_dict().keys()


def test_adding_spectral_norm_twice_adds_it_once():
    linear = torch.nn.Linear(3, 4)
    add_spectral_norm([linear, linear])
    assert len(linear.parametrizations.weight) == 1  # pyright: ignore


def test_r4f_without_a_head_is_an_error_with_the_fix():
    with pytest.raises(ValueError, match="projections=lambda"):
        find_projections(torch.nn.Linear(2, 2))
