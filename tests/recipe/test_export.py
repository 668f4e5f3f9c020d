"""The exported folder, and where others start from."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from omegaconf import OmegaConf
from transformers import (
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.modeling_utils import PreTrainedModel
from transformers.pipelines import pipeline

from recipe.checkpoint import BEST, CheckpointError, RunRecord, read_checkpoint
from recipe.config import load_config, parse_config
from recipe.data.loader import build_evaluation_data
from recipe.data.microbatch import IGNORE, Microbatch
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.errors import UserError
from recipe.export import export, exported_start
from recipe.export.__main__ import main
from recipe.export.card import base_model
from recipe.export.head_folders import choose_heads
from recipe.models import MultitaskModel, build_model, restore_model
from recipe.models.backbone import ENCODER_DECODERS, SUMMARIZERS, load_backbone
from recipe.models.heads import valid_positions
from recipe.protocol.result import FinetuneResult, Predictions, save_result
from recipe.report.results import TaskResult, save_results
from recipe.tasks import Family, get_task
from recipe.yaml_keys import save_config
from tests.tiny_run import TINY, tasks_of

Checkpoints = Callable[..., Path]


@pytest.fixture
def run(checkpoint: Checkpoints, tmp_path: Path) -> Path:
    """The folder of a run with two checkpoints of different weights; the earlier is the best."""
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    for name in (BEST, "ep0-ba5-rank0.pt"):
        shutil.copy(checkpoint("roberta"), folder / name)
    return folder.parent


@pytest.fixture
def checkpoint(run_yaml: Path, tiny_tokenizer_folder: str, tmp_path: Path) -> Checkpoints:
    """``checkpoint(kind)``: a file as Composer writes it, without the training state; other weights each time."""
    tokenizer = load_tokenizer(tiny_tokenizer_folder)

    def write(kind: str, only: str | None = None) -> Path:
        tasks = tasks_of(kind) if only is None else [only]
        backbone = TINY[kind.removeprefix("xlm-")] | {"model_type": kind}
        given = {"backbone": {"config": backbone, "tokenizer": tiny_tokenizer_folder}, "tasks": tasks}
        given["algorithms"] = {"log_n_scaling": only != "stsb"}
        config = parse_config(OmegaConf.create(yaml.safe_load(run_yaml.read_text()) | given), kind)
        model = build_model(config, tokenizer)
        with torch.no_grad():
            for weight in (*model.network.parameters(), *model.network.buffers()):
                if weight.is_floating_point():
                    weight += 0.1 * torch.randn(weight.shape)  # predictions far from uniform
        backbone_config = model.network.backbone.config.to_json_string(use_diff=False)
        labels = model.network.labels
        record = RunRecord(save_config(config), tasks, backbone_config, tokenizer, labels).state_dict()
        timestamp = {"Timestamp": {"batch": 5, "sample": 240}}
        state = {"model": model.state_dict(), "callbacks": [("RunRecord", record)], "timestamp": timestamp}
        torch.save({"state": state}, tmp_path / f"{kind}.pt")
        return tmp_path / f"{kind}.pt"

    return write


@pytest.fixture
def batches(miniature_store: str, tmp_path: Path) -> Callable[[MultitaskModel], dict[str, list[Microbatch]]]:
    """A few validation examples of each of a model's tasks, as its evaluation reads them."""

    def read(model: MultitaskModel) -> dict[str, list[Microbatch]]:
        shards = open_store(miniature_store, model.tokenizer, list(model.tasks), "validation", str(tmp_path / "cache"))
        encoder_decoder = model.network.is_encoder_decoder
        data = build_evaluation_data(
            shards, model.tokenizer, token_budget=2048, encoder_decoder=encoder_decoder, max_examples=6
        )
        return {task.key: list(chain.from_iterable(spec.dataloader)) for task, spec in data.items()}

    return read


def same_weights(folder: str, checkpoint: Path) -> bool:
    """Whether an exported folder's backbone is a checkpoint's."""
    weights = read_checkpoint(checkpoint).weights
    exported = load_backbone(folder).state_dict()
    return all(torch.equal(value, weights[f"backbone.{name}"]) for name, value in exported.items())


def inputs_of(microbatch: Microbatch, kind: str) -> dict[str, torch.Tensor]:
    types = ["token_type_ids"] if kind in ("bert", "electra", "xlnet") else []
    inputs = {name: microbatch[name] for name in ["input_ids", "attention_mask", *types]}
    if kind == "xlnet":  # as its tokenizer does: padding on the left, the last token of a type of its own
        padding = (1 - inputs["attention_mask"]).sum(dim=1)
        column = (torch.arange(inputs["input_ids"].shape[1]) - padding[:, None]) % inputs["input_ids"].shape[1]
        inputs = {name: value.gather(1, column) for name, value in inputs.items()}
        inputs["token_type_ids"][:, -1] = 2
    return inputs


@pytest.mark.parametrize(
    "kind", ["roberta", "xlm-roberta", "bert", "deberta-v2", "electra", "xlnet", "bart", *SUMMARIZERS]
)
def test_every_heads_folder_gives_the_checkpoints_logits(kind, checkpoint, batches, tmp_path):
    path = checkpoint(kind)
    reasons = export(path, tmp_path / "exported").reasons
    assert same_weights(str(tmp_path / "exported"), path)
    model = restore_model(read_checkpoint(path))[0].eval()
    classes = {
        Family.CLASSIFICATION: AutoModelForSequenceClassification,
        Family.COMMONSENSE: AutoModelForMultipleChoice,
        Family.MRC: AutoModelForQuestionAnswering,
        Family.SUMMARIZATION: AutoModelForSeq2SeqLM,
    }
    compared = set()
    for key, read in batches(model).items():
        family = get_task(key).family
        head = key if family is Family.CLASSIFICATION else family.value
        if head in reasons:
            continue
        folder = tmp_path / "exported" / ("" if family is Family.SUMMARIZATION else f"heads/{head}")
        theirs, loading = classes[family].from_pretrained(folder, output_loading_info=True)
        assert not any(loading.values()), loading
        compare_logits(model, theirs.eval(), read, kind)
        compared.add(head)
    every = set() if kind in SUMMARIZERS else {"cola", "mnli", "cb", "commonsense", "mrc"}
    cannot = {"bart": {"commonsense"}, "electra": {"cola", "mnli", "cb"}, "xlnet": {"mrc"}}.get(kind, set())
    assert set(reasons) == cannot
    assert compared == (every - cannot) | ({"summarization"} if kind in ENCODER_DECODERS else set())


@pytest.mark.parametrize("kind", ["roberta", "bert"])
@pytest.mark.parametrize("key", ["stsb", "conll2000_chunking"])
@torch.no_grad()
def test_heads_of_downstream_tasks_are_folders_too(kind, key, checkpoint, tmp_path):
    path = checkpoint(kind, key)
    export(path, tmp_path / "exported")
    network = restore_model(read_checkpoint(path))[0].eval().network
    rows = torch.randint(5, 100, (3, 9))
    hidden = network.backbone(input_ids=rows).last_hidden_state
    sentence = key == "stsb"
    theirs = (AutoModelForSequenceClassification if sentence else AutoModelForTokenClassification).from_pretrained(
        tmp_path / "exported" / "heads" / key
    )
    ours = network.heads[key](hidden[:, 0] if sentence else hidden)
    logits = theirs.eval()(input_ids=rows).logits
    torch.testing.assert_close(logits.squeeze(-1) if sentence else logits, ours, atol=1e-5, rtol=0)


def test_a_backbone_without_fitting_classes_has_reasons_instead_of_folders():
    every = ["cola", "commonsense", "mrc"]
    for kind, reason in (("modernbert", "layer norm"), ("some-other-model", "no class of transformers is known")):
        classes, reasons = choose_heads(kind, every, ["cola", "copa", "squad"], None)
        assert not classes and list(reasons) == every
        assert reason in reasons["cola"]


def test_heads_folders_share_the_backbone_and_speak_the_catalogues_labels(checkpoint, tmp_path):
    exported = tmp_path / "exported"
    export(checkpoint("roberta"), exported, ["cb", "copa"])
    assert sorted(folder.name for folder in (exported / "heads").iterdir()) == ["cb", "commonsense"]
    for head in ("cb", "commonsense"):
        assert (exported / "heads" / head / "backbone.safetensors").samefile(exported / "model.safetensors")
    classify = pipeline("text-classification", model=str(exported / "heads" / "cb"), device="cpu")
    found = classify({"text": "It rains.", "text_pair": "It is wet."}, top_k=None)
    assert {entry["label"] for entry in found} == set(get_task("cb").labels)


def test_the_command_says_what_it_wrote_and_what_it_could_not(checkpoint, tmp_path, monkeypatch, capsys):
    arguments = ["recipe.export", str(checkpoint("bart")), str(tmp_path / "exported")]
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    said = capsys.readouterr().out
    assert f"written: {arguments[2]}" in said and "commonsense (transformers has no BartForMultipleChoice)" in said
    monkeypatch.setattr(sys, "argv", [*arguments[:2], str(tmp_path / "plain"), "--heads", "none"])
    main()
    assert not (tmp_path / "plain" / "heads").exists()
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "head", "message"),
    [
        ("electra", "cb", "head 'cb' .* ElectraForSequenceClassification has gelu"),
        ("bart", "copa", "head 'commonsense' .* no BartForMultipleChoice"),
        ("roberta", "rte", "no task 'rte': it has cola, mnli"),
    ],
)
def test_a_head_that_cannot_have_a_folder_is_named_with_the_reason(kind, head, message, checkpoint, tmp_path):
    with pytest.raises(UserError, match=message):
        export(checkpoint(kind), tmp_path / "exported", [head])
    assert not (tmp_path / "exported").exists()


@torch.no_grad()
def compare_logits(ours: MultitaskModel, theirs: PreTrainedModel, batches: list[Microbatch], kind: str) -> None:
    """That a Hugging Face model gives a checkpoint's logits for one task's rows, wherever there are valid ones."""
    close = partial(torch.testing.assert_close, atol=1e-5, rtol=0)
    for batch in batches:
        (output,), (segment,) = ours(batch), batch["segments"]
        inputs = inputs_of(batch, kind)
        if "choices" in segment:  # their rows are (examples, choices, L), so an example at a time
            stops = segment["choices"].cumsum(0).tolist()
            for example, (start, stop) in enumerate(pairwise([0, *stops])):
                rows = {name: value[None, start:stop] for name, value in inputs.items()}
                close(theirs(**rows).logits[0], output["logits"][example, : stop - start])
        elif "context" in segment:
            found = theirs(**inputs)
            valid = valid_positions(segment["context"], batch["input_ids"].shape[1])
            close(found.start_logits[valid], output["start"][valid])
            close(found.end_logits[valid], output["end"][valid])
        elif "target_ids" in segment:
            real = segment["target_ids"] != IGNORE
            close(theirs(**inputs, labels=segment["target_ids"]).logits[real], output["logits"][real])
        else:
            close(theirs(**inputs).logits, output["logits"])


@pytest.mark.parametrize("kind", ["roberta", "bart", "t5"])
def test_the_model_cards_code_runs_and_its_metadata_is_what_the_hub_reads(kind, checkpoint, tmp_path, monkeypatch):
    export(checkpoint(kind), tmp_path / "exported")
    card = (tmp_path / "exported" / "README.md").read_text()
    monkeypatch.chdir(tmp_path / "exported")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        exec(block, names)
    assert kind == "t5" or names["label"] in get_task("cola").labels
    assert ("choice" if kind == "roberta" else "summary") in names
    metadata = ModelCard.load(tmp_path / "exported" / "README.md").data.to_dict()
    assert [metadata[key] for key in ("language", "license", "library_name")] == ["en", "other", "transformers"]
    assert metadata["pipeline_tag"] == ("feature-extraction" if kind == "roberta" else "summarization")
    assert {"nyu-mll/glue", "rajpurkar/squad"} <= set(metadata["datasets"]) or kind == "t5"
    assert "base_model" not in metadata  # random weights


def test_the_model_card_has_tasks_settings_and_no_scores_of_other_weights(checkpoint, run, tmp_path):
    score = TaskResult(
        "cb", "classification", 56, {"accuracy": 0.8125}, "accuracy", {"accuracy": 0.5}, "constant class"
    )
    for steps, there in ((4, False), (None, False), (5, True)):
        save_results(run / "results.json", [score], "tiny", steps)
        export(run, tmp_path / str(steps), [])
        card = (tmp_path / str(steps) / "README.md").read_text()
        assert ("| cb | accuracy | 81.2 | 50.0 | constant class | 56 |" in card) is there
    cb = "[aps/super_glue](https://huggingface.co/datasets/aps/super_glue)"
    assert f"| cb | classification | {cb} | 250 | unclear |  |" in card
    assert "5 optimiser steps, 240 examples" in card
    assert "| `optimizer.lr` | 0.001 |" in card and "| `data.strategy` | mixed |" in card
    assert str(tmp_path) not in card  # nobody else's business


def test_an_export_without_scores_says_which_command_makes_them(checkpoint, run, tmp_path, monkeypatch, capsys):
    later = run / "checkpoints" / "ep0-ba5-rank0.pt"
    fix = f"its card has no scores of these weights: make score RUN={run}"
    for source, said in ((run, f"{fix}, then"), (later, f'{fix} ARGS="--checkpoint {later}", then')):
        monkeypatch.setattr(
            sys, "argv", ["export", str(source), str(tmp_path / f"of-{source.name}"), "--heads", "none"]
        )
        main()
        assert said in capsys.readouterr().out
    assert "and " in (export(checkpoint("roberta"), tmp_path / "moved", []).unscored or "")


def test_a_fine_tuned_run_is_exported_with_its_own_scores(checkpoint, tmp_path):
    run = tmp_path / "tuned"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(checkpoint("roberta", "cola"), run / "checkpoints" / BEST)
    point: dict[str, float | None] = {"lr": 1e-5}
    result = FinetuneResult(
        *("cola", "classification", "roberta-base", 7, 1.0, "matthews", {"matthews": 0.612, "accuracy": 0.84}, 1043),
        *(point, False, 5, 240, 9_000, 60.0, []),
    )
    save_result(run, result, Predictions([1], [1]))
    assert export(run, tmp_path / "exported", []).unscored is None
    card = (tmp_path / "exported" / "README.md").read_text()
    assert "| cola | matthews | 61.2 | 1,043 |" in card and "(seed 7)" in card


def test_the_base_model_is_a_hub_name_or_left_out(run_yaml, tmp_path, monkeypatch):
    config = load_config(run_yaml)
    (tmp_path / "exported" / "roberta_base").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name, expected in {
        "": None,
        "roberta-base": "roberta-base",
        "facebook/muppet-roberta-base": "facebook/muppet-roberta-base",
        "exported/roberta_base": None,
        "/models/roberta": None,
        "../roberta": None,
    }.items():
        config.backbone.name = name
        assert base_model(config) == expected


def test_a_run_is_a_start_by_its_best_checkpoint_exported_once(run: Path):
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(exported_start, [str(run)] * 4))
    (start,) = folders
    assert Path(start).parent == run / "exported"
    assert same_weights(start, run / "checkpoints" / BEST)
    written = (Path(start) / "config.json").stat().st_mtime_ns
    assert exported_start(str(run)) == start
    assert (Path(start) / "config.json").stat().st_mtime_ns == written


def test_a_run_that_went_on_or_has_no_best_checkpoint_is_another_start(run: Path):
    checkpoints = run / "checkpoints"
    before = exported_start(str(run))
    shutil.copy(checkpoints / "ep0-ba5-rank0.pt", checkpoints / BEST)
    after = exported_start(str(run))
    assert after != before and same_weights(after, checkpoints / "ep0-ba5-rank0.pt")
    (checkpoints / BEST).unlink()
    assert same_weights(exported_start(str(run)), checkpoints / "ep0-ba5-rank0.pt")


def test_any_other_start_is_left_as_it_is(run: Path):
    exported = exported_start(str(run))
    for start in ("roberta-base", "facebook/muppet-roberta-base", exported):
        assert exported_start(start) == start


def test_a_run_without_a_checkpoint_is_one_clear_error(tmp_path: Path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match=f"no checkpoint in {tmp_path}"):
        exported_start(str(tmp_path))
