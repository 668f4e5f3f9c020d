from __future__ import annotations

import math

import pytest
import torch

from recipe.algorithms.log_n_scaling import LogNLossScaling, scale_by_log_n


def test_a_uniform_prediction_has_scaled_loss_one_whatever_the_number_of_outcomes():
    for n in (2, 3, 6, 50_265):
        loss = torch.nn.functional.cross_entropy(torch.zeros(4, n), torch.ones(4, dtype=torch.int64), reduction="none")
        torch.testing.assert_close(scale_by_log_n(loss, math.log(n)), torch.ones(4), rtol=0, atol=1e-6)


def test_each_example_is_divided_by_its_own_log_n():
    scaled = scale_by_log_n(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 8.0]))
    assert scaled.tolist() == [0.5, 0.25]


def test_a_vector_of_log_n_for_an_averaged_loss_is_refused():
    with pytest.raises(ValueError, match="one loss per example"):
        scale_by_log_n(torch.tensor(1.0), torch.tensor([2.0, 8.0]))


def test_one_outcome_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        scale_by_log_n(torch.tensor(1.0), math.log(1))


@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_a_foreign_model_trains_on_the_scaled_loss(plain_classifier, fit, examples, reduction):
    trained = fit(
        plain_classifier(reduction), [LogNLossScaling(lambda outputs, batch: math.log(outputs.shape[-1]))], steps=1
    )
    expected = plain_classifier()
    batch = {key: torch.stack([example[key] for example in examples[:4]]) for key in examples[0]}
    (expected.loss(expected(batch), batch).mean() / math.log(5)).backward()
    for (name, parameter), found in zip(expected.named_parameters(), trained.parameters(), strict=True):
        assert parameter.grad is not None, name
        torch.testing.assert_close(found, parameter - 0.05 * parameter.grad, atol=1e-6, rtol=1e-5)
