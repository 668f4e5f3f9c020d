from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from composer import Trainer
from composer.core import DataSpec
from torchmetrics import Metric
from torchmetrics.text import SQuAD

from recipe.algorithms.log_n_scaling import LogNLossScaling
from recipe.algorithms.r3f import R3F, add_spectral_norm
from recipe.algorithms.r3f.r4f import find_projections
from recipe.data.batch_plan import step_weights
from recipe.data.microbatch import count_examples
from recipe.models.backbone import ENCODER_DECODERS
from recipe.models.multitask import MultitaskModel
from recipe.models.network import MultitaskNetwork
from recipe.tasks import get_task
from recipe.tasks.catalogue import register
from recipe.tasks.metrics import build_metrics
from recipe.tasks.task import Search
from tests.recipe.models.conftest import SUMMARIES, TASKS


class Collect(Metric):
    """Keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list = []

    def update(self, predictions: list, references: list) -> None:
        self.seen += zip(predictions, references, strict=True)

    def compute(self) -> float:
        return 0.0


@pytest.fixture
def model(network, tokenizer):
    def build(kind, **options):
        tasks = [*TASKS, *SUMMARIES]
        metrics = {"trec": {"collect": Collect()}, "xsum": {"collect": Collect()}}
        return MultitaskModel(network(kind, **options), tokenizer, tasks, metrics=metrics)

    return build


def test_predictions_and_references_have_the_metrics_types(model, part, join):
    built = model("bart").eval()
    expected = {
        "classification": (int, int),
        "commonsense": (int, int),
        "mrc": (str, list),
        "summarization": (str, str),
        "tagging": (list, list),
        "regression": (float, float),
    }
    for family, types in expected.items():
        (segment,) = built.eval_forward(join(part(family)))
        assert len(segment["predictions"]) == len(segment["references"]) > 0
        assert {(type(p), type(r)) for p, r in zip(segment["predictions"], segment["references"], strict=True)} == {
            types
        }


def test_an_impossible_choice_is_never_predicted(model, part, join):
    (segment,) = model("roberta").eval().eval_forward(join(part("commonsense", choices=(2, 5, 2, 3))))
    assert all(p < n for p, n in zip(segment["predictions"], (2, 5, 2, 3), strict=True))


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_summaries_are_the_greedy_continuation(model, kind, part, join, tokenizer):
    built = model(kind).eval()
    batch = join(part("summarization"))
    (segment,) = built.eval_forward(batch)
    for row, summary in enumerate(segment["predictions"]):
        decoded = [built.network.backbone.config.decoder_start_token_id]
        for _ in range(get_task("xsum").search.max_length - 2):  # the longest end with a forced </s>
            logits = built.network.backbone(
                input_ids=batch["input_ids"][row : row + 1],
                attention_mask=batch["attention_mask"][row : row + 1],
                decoder_input_ids=torch.tensor([decoded]),
            ).logits[0, -1]
            decoded.append(int(logits.argmax()))
            if decoded[-1] == 2:
                break
        assert summary == tokenizer.decode(decoded, skip_special_tokens=True).strip()


def test_tags_are_named_word_by_word_and_scores_are_in_the_tasks_own_range(model, part, join):
    built = model("roberta").eval()
    batch = join(part("tagging"))
    (segment,) = built.eval_forward(batch)
    assert [len(tags) for tags in segment["predictions"]] == [5, 1, 3]
    best = built(batch)[0]["logits"].argmax(dim=-1).tolist()
    assert list(itertools.chain(*segment["predictions"])) == [
        get_task("conll2000_chunking").labels[index] for index in best
    ]
    assert segment["references"] == [reference["tags"] for reference in batch["segments"][0]["references"]]
    batch = join(part("regression"))
    (segment,) = built.eval_forward(batch)
    assert segment["references"] == pytest.approx((5 * batch["segments"][0]["scores"]).tolist())
    assert segment["predictions"] == pytest.approx((5 * built(batch)[0]["score"]).tolist())


@pytest.mark.parametrize("has_unanswerable", [False, True])
def test_no_answer_is_predicted_only_where_a_task_has_such_questions(
    model, part, join, monkeypatch, nothing_registered, has_unanswerable
):
    """Scored as torchmetrics scores SQuAD's answers; the head is all for "no answer"."""
    register(replace(get_task("squad"), key="own_squad", has_unanswerable=has_unanswerable))
    built = model("roberta").eval()
    predict = built.network.heads["mrc"].forward
    for_none = torch.zeros(1, 20).index_fill(1, torch.tensor([0]), 1e3)
    monkeypatch.setattr(
        built.network.heads["mrc"], "forward", lambda h: [s + for_none[:, : s.shape[1]] for s in predict(h)]
    )
    rows, segment = part("mrc")
    words = "".join(f"w{index % 10} " for index in range(16))
    for reference, answers in zip(segment["references"], (["w4 w5 w6 w7"], []), strict=True):
        reference |= {"context": words, "answers": answers}
    (predicted,) = built.eval_forward(join((rows, {**segment, "task": "own_squad"})))
    assert [text == "" for text in predicted["predictions"]] == [has_unanswerable] * 2
    official, own = SQuAD(), build_metrics(get_task("own_squad"))
    for number, (text, answers) in enumerate(zip(predicted["predictions"], predicted["references"], strict=True)):
        target = {"text": answers or [""], "answer_start": [0]}  # an empty text is none, as in SQuAD 2.0's script
        official.update({"id": str(number), "prediction_text": text}, {"id": str(number), "answers": target})
    for metric in own.values():
        metric.update(predicted["predictions"], predicted["references"])
    scores = official.compute()
    assert 100 * float(own["f1"].compute()) == pytest.approx(float(scores["f1"]))
    assert 100 * float(own["exact_match"].compute()) == pytest.approx(float(scores["exact_match"]))
    assert (float(scores["exact_match"]) == 50) == has_unanswerable


def test_examples_of_a_grouped_task_come_with_their_group(network, tokenizer, part, join):
    grouped = MultitaskNetwork(network("roberta").backbone, ["multirc"])
    built = MultitaskModel(grouped, tokenizer, ["multirc"]).eval()
    rows, segment = part("classification", task="rte")
    groups = [{"group": "7-1"}, {"group": "7-1"}, {"group": "7-2"}]
    (predicted,) = built.eval_forward(join((rows, {**segment, "task": "multirc", "references": groups})))
    labels = segment["labels"].tolist()
    assert predicted["references"] == [(labels[0], "7-1"), (labels[1], "7-1"), (labels[2], "7-2")]


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_a_searchs_settings_are_those_that_hugging_face_generates_with(model, kind, part, join):
    built = model(kind).eval()
    batch = join(part("summarization"))
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    settings = {"length_penalty": 2.0, "min_length": 5, "max_length": 12}
    search = Search(beams=4, no_repeat_ngram=2, **settings)
    options = {"num_beams": 4, "no_repeat_ngram_size": 2, "early_stopping": True, **settings}
    found, wanted = built.network.generate(batch, search), built.network.backbone.generate(**inputs, **options)
    assert torch.equal(found, wanted)
    assert 5 <= found.shape[1] <= 12
    assert not torch.equal(found, built.network.generate(batch, Search(max_length=12))[:, : found.shape[1]])


def test_a_search_is_the_tasks_own_whatever_the_backbones_configuration_prefers(model, part, join):
    built, batch = model("bart").eval(), join(part("summarization"))
    greedy = built.network.generate(batch, Search(max_length=12))
    preferred = {"num_beams": 4, "min_length": 9, "no_repeat_ngram_size": 1, "length_penalty": 2.0}
    built.network.backbone.generation_config.update(**preferred)
    assert torch.equal(built.network.generate(batch, Search(max_length=12)), greedy)


def test_more_beams_find_a_likelier_summary(model, part, join):
    built = model("bart").eval()
    batch = join(part("summarization"))
    likelihoods = []
    for beams in (1, 8):
        search = Search(beams=beams, length_penalty=0.0, min_length=8, max_length=8)
        generated = built.network.generate(batch, search)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        log_p = built.network.backbone(**inputs, decoder_input_ids=generated[:, :-1]).logits.log_softmax(-1)
        likelihoods.append(log_p.gather(2, generated[:, 1:, None]).sum())
    assert likelihoods[1] > likelihoods[0]


def test_no_ngram_occurs_twice_where_the_search_forbids_it(model, part, join):
    built = model("bart").eval()
    batch = join(part("summarization"))
    for tokens in built.network.generate(batch, Search(no_repeat_ngram=1, max_length=20)).tolist():
        inner = [token for token in tokens[1:] if token not in (1, 2)]
        assert len(inner) == len(set(inner))


def test_final_evaluations_search_as_the_task_says_and_others_are_greedy(model, part, join, monkeypatch):
    built, searches = model("bart").eval(), []
    generate = built.network.generate
    monkeypatch.setattr(
        built.network,
        "generate",
        lambda batch, search, **more: searches.append(search) or generate(batch, Search(max_length=4), **more),
    )
    for beam_search in (False, True):
        built.beam_search = beam_search
        for task in SUMMARIES:
            built.eval_forward(join(part("summarization", task=task)))
    greedy = [Search(max_length=62), Search(max_length=32)]
    assert searches == [*greedy, get_task("xsum").search, get_task("aeslc").search]
    assert get_task("xsum").search.beams == 6


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
@pytest.mark.parametrize("beams", [1, 4])
def test_a_summary_depends_neither_on_its_reference_nor_on_the_batch_it_is_in(
    model, kind, part, join, nothing_registered, beams
):
    """Summaries are longer than all references: they used to end where the longest one of the batch does."""
    register(replace(get_task("xsum"), key="own_sum", search=Search(beams=beams, min_length=24, max_length=32)))
    built = model(kind, seed=5).eval()  # which writes more than special tokens
    built.beam_search = True
    rows, segment = part("summarization", task="own_sum", lengths=(5, 8, 20))
    (together,) = built.eval_forward(join((rows, segment), extra_columns=7))
    assert min(len(summary.split()) for summary in together["predictions"]) > 20
    for index, row in enumerate(rows):
        (_, other) = part("summarization", task="own_sum", lengths=(4,), seed=index)
        (alone,) = built.eval_forward(join(([row], other)))
        assert alone["predictions"] == [together["predictions"][index]]


def test_a_summary_ends_where_the_decoder_has_no_more_positions(model, part, join):
    built = model("bart").eval()
    built.network.backbone.config.forced_eos_token_id = None
    found = built.network.generate(join(part("summarization")), Search(min_length=64, max_length=99))
    assert found.shape[1] == 64


def test_metrics_are_named_by_task_and_only_for_evaluation(model, part, join):
    built = model("roberta").eval()
    assert built.get_metrics(is_train=True) == {}
    metric = built.get_metrics(is_train=False)["trec/collect"]
    batch = join(part("classification"))
    built.update_metric(batch, built.eval_forward(batch), metric)
    assert [r for _, r in metric.seen] == batch["segments"][0]["labels"].tolist()
    assert [name for name, _ in built.named_children()] == ["network"]


def test_an_evaluation_microbatch_with_several_tasks_is_refused(model, part, join):
    built = model("roberta").eval()
    batch = join(part("classification"), part("commonsense"))
    with pytest.raises(ValueError, match="several tasks"):
        built.update_metric(batch, built.eval_forward(batch), Collect())


def train(model, batches, algorithms):
    """Losses of a few steps through a real Trainer, several microbatches a step."""
    data = DataSpec(
        batches,
        split_batch=lambda batch, size: batch,
        get_num_samples_in_batch=count_examples,
        get_num_tokens_in_batch=lambda batch: 1,
    )
    trainer = Trainer(
        model=model,
        train_dataloader=data,
        max_duration=f"{len(batches)}ba",
        device="cpu",
        optimizers=torch.optim.SGD(model.parameters(), lr=0.05),
        algorithms=algorithms,
        device_train_microbatch_size=1,
        progress_bar=False,
        seed=1,
    )
    trainer.fit()
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_scaling_and_r3f_together_do_not_depend_on_their_order(model, part, join):
    mixed = join(part("classification"), part("commonsense"), part("mrc"))
    batches = [[mixed, join(part("summarization"))], [join(part("mrc", seed=8)), mixed]]
    results = []
    for order in itertools.permutations(range(2)):
        built = model("bart")
        algorithms = [
            LogNLossScaling(built.log_outcomes),
            R3F(weight=1.0, eps=0.1, divergence=built.divergence),
        ]
        results.append(train(built, batches, [algorithms[index] for index in order]))
    for name, parameter in results[0].items():
        torch.testing.assert_close(parameter, results[1][name], rtol=0, atol=0)


def test_a_step_is_the_mean_scaled_loss_over_its_examples(model, part, join):
    parts = [part("classification", lengths=(5, 6, 7, 8)), part("commonsense")]
    built, expected = model("roberta"), model("roberta")
    trained = train(built, [[join(single) for single in parts]], [LogNLossScaling(built.log_outcomes)])
    batch = join(*parts)
    outputs = expected(batch)
    (expected.loss(outputs, batch) / expected.log_outcomes(outputs, batch)).mean().backward()
    for name, parameter in expected.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(trained[name], parameter - 0.05 * parameter.grad, atol=1e-5, rtol=1e-4)


def test_with_task_weights_a_step_is_the_mean_of_its_tasks_means_however_it_is_cut(model, part, join):
    trec, rte = part("classification", lengths=(5, 6, 7, 8)), part("classification", task="rte", lengths=(9,))
    race = part("commonsense")
    examples = np.repeat([0, 1, 2], [4, 1, 2])  # trec, rte, race
    weights = torch.from_numpy(step_weights(examples, np.arange(7)))
    step = [join(trec, race), join(rte)]
    step[0]["weights"], step[1]["weights"] = weights[[0, 0, 0, 0, 2, 2]], weights[[1]]
    built, expected = model("roberta"), model("roberta")
    trained = train(built, [step], [LogNLossScaling(built.log_outcomes)])
    means = []
    for batch in (join(trec), join(rte), join(race)):
        outputs = expected(batch)
        means.append((expected.loss(outputs, batch) / expected.log_outcomes(outputs, batch)).mean())
    torch.stack(means).mean().backward()
    for name, parameter in expected.named_parameters():
        torch.testing.assert_close(trained[name], parameter - 0.05 * parameter.grad, atol=1e-6, rtol=0)


def test_weights_multiply_the_loss_and_r3fs_term_but_not_what_callbacks_see(model, part, join):
    built = model("roberta")
    batch = join(part("classification", lengths=(5, 6, 7)))
    outputs, noised = built(batch), [{"logits": output["logits"] + 1e-2} for output in built(batch)]
    noised[0]["logits"][:, 0] += 1
    weights = torch.tensor([0.5, 2.0, 0.0])
    loss, divergence = built.loss(outputs, batch), built.divergence(outputs, noised, batch)
    assert (divergence > 0).all()
    batch["weights"] = weights
    torch.testing.assert_close(built.loss(outputs, batch), weights * loss)
    torch.testing.assert_close(built.last_raw_loss, loss.detach())
    torch.testing.assert_close(built.divergence(outputs, noised, batch), weights * divergence)


def test_r4f_bounds_the_classification_heads_alone_also_while_they_are_idle(model, part, join):
    built = model("roberta")
    heads = built.network.heads
    projections = find_projections(built)
    assert {id(p) for p in projections} == {id(heads["trec"].out_proj), id(heads["rte"].out_proj)}
    add_spectral_norm(projections)
    with torch.no_grad():
        heads["rte"].out_proj.parametrizations.weight.original.normal_()
    batch = join(part("classification", task="trec"))
    for _ in range(30):
        built(batch)
    norm = torch.linalg.matrix_norm(heads["rte"].eval().out_proj.weight, 2).item()
    assert norm == pytest.approx(1.0, abs=1e-3)
