"""Runs of one task whose family is for fine-tuning only: trained, evaluated, exported, and started from again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from recipe.checkpoint import latest_checkpoint, read_checkpoint
from recipe.config import TrainConfig, load_config
from recipe.export import export
from recipe.models import build_model, restore_model
from recipe.report import load_results
from recipe.score import score_run
from recipe.tasks import get_task
from recipe.train import train
from tests.conftest import convert_miniature
from tests.tiny_run import TINY

RUNS = [("stsb", "roberta"), ("conll2000_chunking", "bart"), ("ptb_parsing", "roberta")]


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_tokenizer_folder) -> str:
    folder = str(tmp_path_factory.mktemp("families"))
    convert_miniature(folder, tiny_tokenizer_folder, [key for key, _ in RUNS], rows=64)
    return folder


@pytest.fixture(params=RUNS, ids=[key for key, _ in RUNS], scope="module")
def config(request, tmp_path_factory, store, tiny_tokenizer_folder) -> TrainConfig:
    key, kind = request.param
    folder = tmp_path_factory.mktemp(key)
    settings = {
        "run_name": "tiny",
        "runs": str(folder),
        "backbone": {"config": TINY[kind], "tokenizer": tiny_tokenizer_folder, "dropout": 0.0},
        "tasks": [key],
        "data": {"store": store, "step_examples": 16, "token_budget": 4096},
        "optimizer": {"lr": 3e-3},
        "algorithms": {"log_n_scaling": key != "stsb"},
        "max_duration": "24ba",
        "eval_interval": "24ba",
        "logging": {"tensorboard": False, "progress_bar": False, "interval": 4},
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return load_config(path)


@pytest.fixture(scope="module")
def run(config) -> Path:
    return train(config).path


def test_what_is_trained_is_learned_and_its_checkpoint_alone_scores_the_same(config: TrainConfig, run: Path):
    (key,) = config.tasks
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [record[f"loss/raw/{key}"] for record in records if f"loss/raw/{key}" in record]
    assert losses[-1] < 0.8 * losses[0]
    score_run(run, "latest")
    (result,) = load_results(run / "results.json")
    assert set(result.metrics) == set(get_task(key).metrics) == set(result.baseline)
    if key != "stsb":  # 64 pairs teach a tiny model no more than their training scores
        assert result.score > result.baseline_score
    (during,) = [record for record in records if f"metrics/{key}/{key}/{result.primary}" in record]
    assert during[f"metrics/{key}/{key}/{result.primary}"] == pytest.approx(result.score, abs=1e-6)


def test_checkpoint_and_export_carry_the_labels_and_the_head(config: TrainConfig, run: Path, tmp_path: Path):
    (key,) = config.tasks
    checkpoint = read_checkpoint(latest_checkpoint(run / "checkpoints") or "")
    model, _, tokenizer = restore_model(checkpoint)
    export(checkpoint.path, tmp_path / "exported")
    (described,) = json.loads((tmp_path / "exported" / "heads.json").read_text())["tasks"]
    (manifest,) = Path(config.data.store).glob(f"*/{key}/train/manifest.json")
    assert described["labels"] == list(model.network.labels[key]) == json.loads(manifest.read_text())["labels"]
    settings = {"run_name": "again", "backbone": {"name": str(tmp_path / "exported")}}
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load((run / "config.yaml").read_text()) | settings))
    again = build_model(load_config(path), tokenizer, model.network.labels)
    for name, weight in model.network.heads.state_dict().items():
        torch.testing.assert_close(again.network.heads.state_dict()[name], weight)
    if get_task(key).has_open_labels:  # another label space is another head
        other = build_model(load_config(path), tokenizer, {key: (*model.network.labels[key][1:], "+9|NEW|")})
        weights = [built.network.heads.state_dict()[f"{key}.out_proj.weight"] for built in (model, other)]
        assert not torch.equal(*weights)
