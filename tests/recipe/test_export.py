"""The exported folder, and where others start from."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from recipe.checkpoint import BEST, CheckpointError, RunRecord, read_checkpoint
from recipe.config import load_config, save_config
from recipe.data.tokenizer import load_tokenizer
from recipe.export import exported_start
from recipe.models import MultitaskModel, build_model
from recipe.models.backbone import load_backbone


@pytest.fixture
def run(run_yaml: Path, tiny_tokenizer_folder: str, tmp_path: Path) -> Path:
    """The folder of a run with two checkpoints of different weights; the earlier is the best."""
    config = load_config(run_yaml)
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    folder = tmp_path / "runs" / "tiny"
    for name, batch in ((BEST, 3), ("ep0-ba5-rank0.pt", 5)):
        write_checkpoint(folder / "checkpoints" / name, build_model(config, tokenizer), save_config(config), batch)
    return folder


def write_checkpoint(path: Path, model: MultitaskModel, config: str, batch: int) -> None:
    """A checkpoint as Composer writes it, without the training state."""
    backbone = model.network.backbone.config.to_json_string(use_diff=False)
    record = RunRecord(config, list(model.tasks), backbone, model.tokenizer).state_dict()
    timestamp = {"Timestamp": {"batch": batch}}
    state = {"model": model.state_dict(), "callbacks": [("RunRecord", record)], "timestamp": timestamp}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state": state}, path)


def same_weights(folder: str, checkpoint: Path) -> bool:
    """Whether an exported folder's backbone is a checkpoint's."""
    weights = read_checkpoint(checkpoint).weights
    exported = load_backbone(folder).state_dict()
    return all(torch.equal(value, weights[f"backbone.{name}"]) for name, value in exported.items())


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
