from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from recipe.algorithms.r3f import symmetric_kl
from recipe.data.microbatch import IGNORE
from recipe.models.divergence import segment_divergence
from recipe.models.heads import group_choices
from recipe.models.losses import choice_log_outcomes, span_log_outcomes, tagging_loss


def test_a_window_without_context_never_divides_by_zero():
    log_n = span_log_outcomes(torch.tensor([[0, 0], [3, 3]]), 8, torch.tensor([0, 1]), 2)
    torch.testing.assert_close(log_n, torch.full((2,), math.log(2)))


def test_an_example_with_a_single_choice_never_divides_by_zero():
    torch.testing.assert_close(choice_log_outcomes(torch.tensor([1, 4])), torch.tensor([2.0, 4.0]).log())


def test_choices_are_grouped_in_order_and_missing_ones_cannot_be_chosen():
    logits = group_choices(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]), torch.tensor([2, 3]))
    probabilities = logits.softmax(-1)
    assert logits[0, :2].tolist() == [1, 2] and logits[1].tolist() == [3, 4, 5]
    assert probabilities[0, 2] == 0


def test_symmetric_kl_is_the_sum_of_both_directions_with_gradients_through_both():
    torch.manual_seed(0)
    p, q = torch.randn(4, 5, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    log_p, log_q = p.log_softmax(-1), q.log_softmax(-1)
    expected = (
        F.kl_div(log_q, log_p, log_target=True, reduction="none")
        + F.kl_div(log_p, log_q, log_target=True, reduction="none")
    ).sum(-1)
    torch.testing.assert_close(symmetric_kl(p, q), expected)
    found = torch.autograd.grad(symmetric_kl(p, q).sum(), (p, q))
    for gradient, wanted in zip(found, torch.autograd.grad(expected.sum(), (p, q)), strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_divergence_of_masked_outcomes_and_its_gradient_are_those_without_them():
    lowest = torch.finfo(torch.float32).min
    p = torch.tensor([[0.3, -1.0, lowest]], requires_grad=True)
    q = torch.tensor([[0.1, 0.4, lowest]], requires_grad=True)
    divergence = symmetric_kl(p, q)
    torch.testing.assert_close(divergence, symmetric_kl(p[:, :2], q[:, :2]))
    divergence.sum().backward()
    assert p.grad is not None and torch.isfinite(p.grad).all() and p.grad[0, 2] == 0


def test_generation_divergence_is_a_mean_over_target_tokens_only():
    torch.manual_seed(0)
    p, q = torch.randn(2, 3, 7), torch.randn(2, 3, 7)
    target_ids = torch.tensor([[4, 2, -100], [5, 6, 2]])
    segment = {"family": "summarization", "target_ids": target_ids, "examples": (0, 2)}
    per_token = symmetric_kl(p, q)
    expected = torch.stack([per_token[0, :2].mean(), per_token[1].mean()])
    torch.testing.assert_close(segment_divergence({"logits": p}, {"logits": q}, segment), expected)


def test_tagging_divergence_is_a_mean_over_words_and_regressions_the_squared_difference():
    torch.manual_seed(0)
    p, q = torch.randn(3, 7), torch.randn(3, 7)
    words = torch.tensor([[0, 1], [0, 2], [1, 1]])
    segment = {"family": "tagging", "words": words, "labels": torch.tensor([1, IGNORE, 2]), "examples": (0, 2)}
    per_word = symmetric_kl(p, q)
    expected = torch.stack([per_word[:2].mean(), per_word[2]])
    torch.testing.assert_close(segment_divergence({"logits": p}, {"logits": q}, segment), expected)
    scores = {"family": "regression", "scores": torch.zeros(3), "examples": (0, 3)}
    found = segment_divergence({"score": p[:, 0]}, {"score": q[:, 0]}, scores)
    torch.testing.assert_close(found, (p[:, 0] - q[:, 0]) ** 2)
    normals = torch.distributions.Normal(p[:, 0], 1.0), torch.distributions.Normal(q[:, 0], 1.0)
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(found, kl(normals[0], normals[1]) + kl(normals[1], normals[0]))


def test_a_sentence_without_a_label_that_can_be_learned_has_no_loss():
    logits, word_example = torch.randn(3, 4, requires_grad=True), torch.tensor([0, 1, 1])
    loss = tagging_loss(logits, torch.tensor([IGNORE, 2, IGNORE]), word_example, 2)
    torch.testing.assert_close(loss, torch.stack([torch.tensor(0.0), -logits[1].log_softmax(0)[2]]))
    loss.sum().backward()
    assert logits.grad is not None and not logits.grad[[0, 2]].any()
