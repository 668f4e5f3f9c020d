"""Evaluating a run, exporting it, and starting from what was exported: with a real tiny run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

from recipe.checkpoint import BEST, CheckpointError, latest_checkpoint, read_checkpoint
from recipe.config import load_config
from recipe.export import export
from recipe.models import restore_model
from recipe.protocol.result import load_predictions
from recipe.protocol.starts import describe_starts
from recipe.report import load_results, load_steps
from recipe.run_folder import RunFolderError
from recipe.score import score_run
from recipe.tasks import get_task
from recipe.train import train
from tests.tiny_run import tasks_of, train_tiny


@pytest.fixture(scope="module", params=["roberta", "bart"])
def finished_run(request, tmp_path_factory, miniature_store, tiny_tokenizer_folder) -> Path:
    """The folder of a tiny run with R4F, so that spectral norm passes through checkpoint and export too."""
    folder = tmp_path_factory.mktemp(request.param)
    data = {"store": miniature_store, "step_examples": 48, "max_validation_examples": 4}
    algorithms = {"r3f": {"spectral_norm": True}}
    kind = request.param
    return train_tiny(folder, tiny_tokenizer_folder, tasks_of(kind), data, "3ba", kind, algorithms=algorithms)


def test_the_report_has_every_task_with_all_its_validation_examples(finished_run: Path, miniature_store: str):
    report = score_run(finished_run, "best")
    results = {result.task: result for result in load_results(finished_run / "results.json")}
    checkpoint = read_checkpoint(finished_run / "checkpoints" / BEST)
    tasks = checkpoint.tasks
    assert load_steps(finished_run / "results.json") == checkpoint.batch == 3
    assert checkpoint.examples == pytest.approx(3 * 48, rel=0.1)
    assert list(results) == sorted(tasks, key=lambda key: (get_task(key).family.value, key))
    for key, result in results.items():
        (manifest,) = Path(miniature_store).glob(f"*/{key}/validation/manifest.json")
        assert result.examples == json.loads(manifest.read_text())["written"]
        assert set(result.metrics) == set(get_task(key).metrics) == set(result.baseline)
        assert key in report.read_text()
        predictions = load_predictions(finished_run / "predictions", f"{key}.parquet")
        assert len(predictions.references) == len(predictions.predictions) == result.examples
        if result.primary == "accuracy" and not get_task(key).grouped:
            right = [own == true for own, true in zip(predictions.predictions, predictions.references, strict=True)]
            assert fmean(right) == pytest.approx(result.score)
    assert (finished_run / "report.png").stat().st_size > 10_000
    assert (finished_run / "curves.png").stat().st_size > 10_000


def test_an_exported_folder_loads_with_transformers_and_predicts_the_same(finished_run: Path, tmp_path: Path):
    checkpoint = finished_run / "checkpoints" / BEST
    export(checkpoint, tmp_path / "exported")
    model, _, tokenizer = restore_model(read_checkpoint(checkpoint))
    exported = AutoModel.from_pretrained(tmp_path / "exported").eval()
    model.eval()
    rows = AutoTokenizer.from_pretrained(tmp_path / "exported")(["a good day", "a very bad and long day"], padding=True)
    assert rows["input_ids"] == tokenizer(["a good day", "a very bad and long day"], padding=True)["input_ids"]
    inputs = {name: torch.tensor(rows[name]) for name in ("input_ids", "attention_mask")}
    backbone = model.network.backbone
    own = backbone.model if model.network.is_encoder_decoder else backbone
    with torch.no_grad():
        torch.testing.assert_close(exported(**inputs).last_hidden_state, own(**inputs).last_hidden_state)
        heads = load_file(tmp_path / "exported" / "heads.safetensors")
        states = torch.randn(2, backbone.config.hidden_size)
        dense = torch.tanh(states @ heads["cola.dense.weight"].T + heads["cola.dense.bias"])
        logits = dense @ heads["cola.out_proj.weight"].T + heads["cola.out_proj.bias"]
        torch.testing.assert_close(logits, model.network.heads["cola"](states))
    described = json.loads((tmp_path / "exported" / "heads.json").read_text())
    assert {entry["key"]: tuple(entry["labels"]) for entry in described["tasks"]}["cb"] == get_task("cb").labels


@pytest.mark.parametrize("reuse", [True, False])
def test_a_run_starts_from_an_exported_folder_with_or_without_its_heads(
    finished_run: Path, tmp_path: Path, reuse: bool
):
    export(finished_run / "checkpoints" / BEST, tmp_path / "exported")
    config = yaml.safe_load((finished_run / "config.yaml").read_text())
    config["backbone"] = {"name": str(tmp_path / "exported"), "reuse_heads": reuse}
    config |= {"runs": str(tmp_path), "tasks": ["cola", "squad"], "max_duration": "1ba"}
    config["optimizer"] |= {"lr": 1e-12, "weight_decay": 0.0}  # weights stay where they started
    config["algorithms"]["r3f"]["spectral_norm"] = False
    path = tmp_path / "again.yaml"
    path.write_text(yaml.safe_dump(config))
    train(load_config(path))
    weights = read_checkpoint(tmp_path / "tiny" / "checkpoints" / BEST).weights
    heads = load_file(tmp_path / "exported" / "heads.safetensors")
    for name in ("cola.dense.weight", "cola.out_proj.weight", "mrc.out_proj.weight"):
        assert torch.allclose(weights[f"heads.{name}"], heads[name], atol=1e-6) is reuse
    assert "heads.rte.dense.weight" not in weights


def test_a_checkpoint_of_another_architecture_stops_the_run_and_is_named(finished_run: Path, tmp_path: Path):
    folder = tmp_path / "runs" / "tiny"
    shutil.copytree(finished_run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    kind = config["backbone"]["config"]["model_type"]
    config["backbone"]["config"] |= {"bart": {"encoder_ffn_dim": 48}, "roberta": {"intermediate_size": 48}}[kind]
    config["runs"] = str(tmp_path / "runs")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(CheckpointError, match="is of another architecture"):
        train(load_config(folder / "config.yaml"))


def test_a_run_is_not_continued_with_settings_that_change_what_it_learns(finished_run: Path):
    with pytest.raises(RunFolderError, match=r"holds a run with optimizer\.lr=.*run_name"):
        train(load_config(finished_run / "config.yaml", ["optimizer.lr=0.5"]))


def test_a_run_from_before_a_key_was_there_goes_on(finished_run: Path, tmp_path: Path):
    folder = tmp_path / "tiny"
    shutil.copytree(finished_run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    del config["data"]["fraction"]
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert train(load_config(folder / "config.yaml", [f"runs={tmp_path}"])).path == folder


def test_of_a_half_finished_run_the_checkpoint_is_named_that_is_used(finished_run: Path, tmp_path: Path):
    run = tmp_path / "half"
    shutil.copytree(finished_run, run)
    (run / "finished.json").unlink()
    (_, start) = describe_starts({"plain": "roberta-base", "half": str(run)})
    assert start.unfinished == "its best checkpoint is used, best-rank0.pt of step 3; it was to train for 3ba"
    assert list(start.learned) == read_checkpoint(run / "checkpoints" / BEST).tasks and start.seen is None
    (run / "checkpoints" / BEST).unlink()
    (_, start) = describe_starts({"plain": "roberta-base", "half": str(run)})
    assert start.unfinished is not None
    assert start.unfinished.startswith("its last checkpoint is used, ep0-ba3-rank0.pt of step 3;")
    assert start.configuration == (run / "config.yaml").read_text()


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "pickle"])
def test_a_damaged_checkpoint_is_one_clear_error(tmp_path: Path, damage: str):
    path = tmp_path / "ep1-ba2-rank0.pt"
    if damage == "truncated":
        torch.save({"state": {"model": {"a": torch.zeros(1000)}}}, path)
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "foreign":
        torch.save({"weights": torch.zeros(3)}, path)
    elif damage == "pickle":
        torch.save({"state": Path("code that would run")}, path)
    with pytest.raises(CheckpointError, match=str(path)):
        read_checkpoint(path)


def test_the_latest_checkpoint_is_the_last_complete_one(tmp_path: Path):
    assert latest_checkpoint(tmp_path) is None
    for batch in (2, 10):
        torch.save({}, tmp_path / f"ep0-ba{batch}-rank0.pt")
    torch.save({}, tmp_path / BEST)
    complete = (tmp_path / "ep0-ba10-rank0.pt").read_bytes()
    (tmp_path / "ep0-ba12-rank0.pt").write_bytes(complete[: len(complete) // 2])
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.name == "ep0-ba10-rank0.pt"
