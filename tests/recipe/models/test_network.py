from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import (
    BartForSequenceClassification,
    RobertaForQuestionAnswering,
    RobertaForSequenceClassification,
    RobertaForTokenClassification,
)

from recipe.models.backbone import (
    ENCODER_DECODERS,
    SUMMARIZERS,
    BackboneError,
    build_backbone,
    load_backbone,
    max_row_length,
)
from recipe.models.multitask import MultitaskModel
from recipe.models.network import MultitaskNetwork
from recipe.tasks import get_task
from tests.recipe.models.conftest import CONFIGS, OWN_TEXT, SUMMARIES, TASKS, families_of


@pytest.fixture
def model(network, tokenizer):
    def build(kind, **options):
        built = network(kind, **options)
        return MultitaskModel(built, tokenizer, [*TASKS, *SUMMARIES])

    return build


def losses(model, batch):
    return model.loss(model(batch), batch)


def gradients(model, batch):
    model.zero_grad()
    losses(model, batch).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def test_uniform_predictions_have_scaled_loss_one_in_every_family(model, kind, part, join):
    built = model(kind)
    with torch.no_grad():
        for name, parameter in built.network.heads.named_parameters():
            if "out_proj" in name:
                parameter.zero_()
        if kind in ENCODER_DECODERS:
            built.network.backbone.get_output_embeddings().weight.zero_()
    for family in families_of(kind):
        if family == "regression":  # has no outcomes to be uniform over
            continue
        batch = join(part(family))
        outputs = built(batch)
        scaled = built.loss(outputs, batch) / built.log_outcomes(outputs, batch)
        torch.testing.assert_close(scaled, torch.ones_like(scaled), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["roberta", "bart"])
def test_a_mixed_microbatch_is_the_sum_of_its_tasks(model, kind, part, join):
    built = model(kind)
    mixtures = [[part("classification", task="rte", seed=7), *(part(family) for family in OWN_TEXT)]]
    if kind == "bart":
        summaries = [part("summarization"), part("summarization", task="aeslc", lengths=(4, 11), seed=9)]
        mixtures.append([*summaries, part("infilling")])
    for parts in mixtures:
        mixed, singles = join(*parts), [join(single) for single in parts]
        torch.testing.assert_close(
            losses(built, mixed), torch.cat([losses(built, s) for s in singles]), atol=1e-5, rtol=1e-5
        )
        separate = [gradients(built, s) for s in singles]
        for name, gradient in gradients(built, mixed).items():
            torch.testing.assert_close(gradient, sum(g[name] for g in separate), atol=1e-4, rtol=1e-4)


def test_padding_changes_nothing(model, kind, part, join):
    built, other = model(kind), model(kind, seed=1)
    own = [part(family) for family in families_of(kind) if family not in ("summarization", "infilling")]
    written = [part(family) for family in families_of(kind) if family in ("summarization", "infilling")]
    for parts in filter(None, (own, written)):
        tight, loose = join(*parts), join(*parts, extra_columns=5, extra_rows=2)
        for segment in loose["segments"]:
            if "target_ids" in segment:
                segment["target_ids"] = F.pad(segment["target_ids"], (0, 4), value=-100)
        results = []
        for batch in (tight, loose):
            outputs, noised = built(batch), other(batch)
            results.append(
                torch.stack(
                    [
                        built.loss(outputs, batch),
                        built.log_outcomes(outputs, batch),
                        built.divergence(outputs, noised, batch),
                    ]
                )
            )
        assert torch.isfinite(results[0]).all()
        torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient_whatever_the_microbatch_holds(model, kind, part, join):
    built = model(kind, dropout=0.1)
    for family in families_of(kind):
        optimizer = torch.optim.SGD(built.parameters(), lr=0.01)
        batch = join(part(family))
        before = losses(built, batch).mean()
        found = gradients(built, batch)
        assert found and all(torch.isfinite(g).all() for g in found.values())
        optimizer.step()
        assert torch.isfinite(losses(built, batch)).all() and losses(built, batch).mean() != before


@pytest.mark.parametrize("kind", SUMMARIZERS)
def test_computing_activations_again_changes_no_gradient(model, kind, part, join):
    built, batch = model(kind), join(part("summarization"))
    expected = gradients(built, batch)
    built.network.backbone.gradient_checkpointing_enable({"use_reentrant": False})
    for name, gradient in gradients(built, batch).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-6)


def test_classification_equals_hugging_face_roberta(model, part, join):
    built = model("roberta").eval()
    batch = join(part("classification"))
    reference = RobertaForSequenceClassification(built.network.backbone.config).eval()
    reference.roberta.load_state_dict(built.network.backbone.state_dict())
    reference.classifier.dense.load_state_dict(built.network.heads["trec"].dense.state_dict())
    reference.classifier.out_proj = built.network.heads["trec"].out_proj
    logits = reference(batch["input_ids"], batch["attention_mask"]).logits
    expected = -logits.log_softmax(-1).gather(1, batch["segments"][0]["labels"][:, None]).squeeze(1)
    torch.testing.assert_close(losses(built, batch), expected, atol=1e-5, rtol=1e-5)


def test_classification_equals_hugging_face_bart(model, part, join):
    built = model("bart").eval()
    batch = join(part("classification", lengths=(8, 8, 8)))  # Hugging Face wants equally many EOS a row
    reference = BartForSequenceClassification(built.network.backbone.config).eval()
    reference.model.load_state_dict(built.network.backbone.model.state_dict())
    reference.classification_head.dense.load_state_dict(built.network.heads["trec"].dense.state_dict())
    reference.classification_head.out_proj = built.network.heads["trec"].out_proj
    logits = reference(batch["input_ids"], batch["attention_mask"]).logits
    torch.testing.assert_close(built(batch)[0]["logits"], logits, atol=1e-5, rtol=1e-5)


def test_multiple_choice_is_a_softmax_over_each_examples_own_choices(model, part, join):
    built = model("roberta").eval()
    rows, segment = part("commonsense")
    head, expected, row = built.network.heads["commonsense"], [], 0
    for choices, label in zip(segment["choices"].tolist(), segment["labels"].tolist(), strict=True):
        scores = []
        for tokens in rows[row : row + choices]:
            first = built.network.backbone(torch.tensor([tokens])).last_hidden_state[:, 0]
            scores.append(head.out_proj(torch.tanh(head.dense(first))).reshape(()))
        expected.append(-torch.stack(scores).log_softmax(0)[label])
        row += choices
    torch.testing.assert_close(losses(built, join((rows, segment))), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_span_loss_equals_hugging_face_logits_over_valid_positions(model, part, join):
    built = model("roberta").eval()
    batch = join(part("mrc"))
    segment = batch["segments"][0]
    reference = RobertaForQuestionAnswering(built.network.backbone.config).eval()
    reference.roberta.load_state_dict(built.network.backbone.state_dict())
    reference.qa_outputs = built.network.heads["mrc"].out_proj
    logits = reference(batch["input_ids"], batch["attention_mask"])
    windows = []
    for row, ((low, stop), (first, last)) in enumerate(
        zip(segment["context"].tolist(), segment["spans"].tolist(), strict=True)
    ):
        valid = [0, *range(low, stop)]
        start = logits.start_logits[row][valid].log_softmax(0)[valid.index(first)]
        end = logits.end_logits[row][valid].log_softmax(0)[valid.index(last)]
        windows.append(-(start + end) / 2)
    expected = torch.stack([(windows[0] + windows[1]) / 2, windows[2]])
    torch.testing.assert_close(losses(built, batch), expected, atol=1e-5, rtol=1e-5)


def test_tagging_equals_hugging_face_roberta_at_each_words_first_token(model, part, join):
    built = model("roberta").eval()
    batch = join(part("tagging"))
    segment, config = batch["segments"][0], built.network.backbone.config
    config.num_labels = len(get_task("conll2000_chunking").labels)
    reference = RobertaForTokenClassification(config).eval()
    reference.roberta.load_state_dict(built.network.backbone.state_dict())
    reference.classifier = built.network.heads["conll2000_chunking"].out_proj
    labels = torch.full_like(batch["input_ids"], -100)
    labels[tuple(segment["words"].T)] = segment["labels"]
    expected = [
        reference(batch["input_ids"][row : row + 1], batch["attention_mask"][row : row + 1], labels=own[None]).loss
        for row, own in enumerate(labels)
    ]
    torch.testing.assert_close(losses(built, batch), torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_regression_equals_hugging_face_roberta(model, part, join):
    built = model("roberta").eval()
    batch = join(part("regression"))
    config = built.network.backbone.config
    config.num_labels = 1
    reference = RobertaForSequenceClassification(config).eval()
    reference.roberta.load_state_dict(built.network.backbone.state_dict())
    reference.classifier.dense.load_state_dict(built.network.heads["stsb"].dense.state_dict())
    reference.classifier.out_proj = built.network.heads["stsb"].out_proj
    loss = reference(batch["input_ids"], batch["attention_mask"], labels=batch["segments"][0]["scores"]).loss
    torch.testing.assert_close(losses(built, batch).mean(), loss, atol=1e-5, rtol=1e-5)


def test_open_labels_must_be_given_and_decide_the_heads_size(network):
    backbone = network("roberta").backbone
    with pytest.raises(ValueError, match=r"'ptb_parsing'.*training stream"):
        MultitaskNetwork(backbone, ["ptb_parsing"])
    built = MultitaskNetwork(backbone, ["ptb_parsing"], {"ptb_parsing": ["+1|S|", "||", "||NP"]})
    assert built.heads["ptb_parsing"].state_dict()["out_proj.weight"].shape == (3, 32)
    assert built.labels == {"ptb_parsing": ("+1|S|", "||", "||NP")}


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_summarization_equals_hugging_face_and_smooths_in_training_only(model, kind, part, join):
    built = model(kind)
    batch = join(part("summarization"))
    target_ids = batch["segments"][0]["target_ids"]
    plain, smoothed = [], []
    for row, target in enumerate(target_ids):
        labels = target[target != -100][None]
        output = built.network.backbone(
            input_ids=batch["input_ids"][row : row + 1],
            attention_mask=batch["attention_mask"][row : row + 1],
            labels=labels,
        )
        plain.append(output.loss)
        smoothed.append(0.9 * output.loss - 0.1 * output.logits.log_softmax(-1).mean())
    torch.testing.assert_close(losses(built.eval(), batch), torch.stack(plain), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(losses(built.train(), batch), torch.stack(smoothed), atol=1e-6, rtol=1e-6)


def test_a_t5_with_its_own_output_layer_equals_hugging_face_and_is_loaded_as_it_was(part, join, tokenizer, tmp_path):
    """T5 v1.1 and what came after it."""
    untied = {"tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"}
    built: Any = build_backbone(CONFIGS["t5"] | untied, tokenizer, dropout=0.0)
    assert not torch.equal(built.get_output_embeddings().weight, built.get_input_embeddings().weight)
    built.save_pretrained(tmp_path)
    network = MultitaskNetwork(load_backbone(str(tmp_path), dropout=0.0), ["xsum"]).eval()
    for name, weight in built.state_dict().items():
        assert torch.equal(network.backbone.state_dict()[name], weight), name
    batch = join(part("summarization", lengths=(6, 6)))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    expected = built.eval()(**inputs, labels=batch["segments"][0]["target_ids"]).logits
    torch.testing.assert_close(network(batch)[0]["logits"], expected, atol=1e-6, rtol=1e-6)
    network(batch)[0]["logits"].sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_infilling_equals_hugging_face_bart_and_is_scored_at_what_was_hidden(model, part, join):
    built, batch = model("bart"), join(part("infilling"))
    built.train()  # label smoothing is summarization's alone, and these have no dropout
    (predicted,) = built.eval_forward(batch)
    for row, target in enumerate(batch["segments"][0]["target_ids"]):
        real = batch["attention_mask"][row].bool()
        output = built.network.backbone(
            input_ids=batch["input_ids"][row][real][None], labels=target[target != -100][None]
        )
        torch.testing.assert_close(losses(built, batch)[row], output.loss, atol=1e-6, rtol=0)
        assert predicted["predictions"][row] == output.logits[0, 2:5].argmax(dim=-1).tolist()
        assert predicted["references"][row] == target[2:5].tolist()


def test_an_encoder_refuses_summarization_and_names_the_tasks(network):
    with pytest.raises(BackboneError, match=r"roberta.*xsum, aeslc.*bart"):
        MultitaskNetwork(network("roberta").backbone, ["rte", "xsum", "aeslc"])


def test_bart_refuses_rows_with_and_without_targets_in_one_microbatch(network, part, join):
    with pytest.raises(ValueError, match="trec"):
        network("bart")(join(part("classification"), part("summarization")))


@pytest.mark.parametrize("kind", SUMMARIZERS)
def test_what_only_summarizes_refuses_all_other_tasks_and_names_them(network, kind):
    with pytest.raises(BackboneError, match=rf"{kind} learns summarization alone here, not rte, squad.*bart"):
        MultitaskNetwork(network(kind).backbone, ["rte", "xsum", "squad"])


def test_choices_spans_and_summaries_share_a_head_and_every_other_task_has_its_own(network):
    assert set(network("bart").heads) == {"rte", "trec", "commonsense", "mrc", "conll2000_chunking", "stsb"}
    assert set(MultitaskNetwork(network("bart").backbone, ["xsum", "tapt_rte"]).heads) == set()


def test_transformer_layers_are_the_units_of_sharding(network, kind):
    built = network(kind)
    units = [name for name, module in built.named_modules() if built.fsdp_wrap_fn(module)]
    assert len(units) == (4 if kind in ENCODER_DECODERS else 2)


def test_embeddings_are_those_the_encoder_calls(network, kind, part, join):
    built, calls = network(kind), []
    built.embeddings.register_forward_hook(lambda module, inputs, output: calls.append(inputs[0].shape))
    batch = join(part(families_of(kind)[0]))
    built(batch)
    assert calls == [batch["input_ids"].T.shape if kind == "xlnet" else batch["input_ids"].shape]


def test_longest_row_leaves_out_robertas_unused_positions(network, kind):
    assert max_row_length(network(kind).backbone) == (None if kind in ("t5", "xlnet") else 64)
