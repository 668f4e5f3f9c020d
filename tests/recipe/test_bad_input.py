"""Bad input to a run: one line that names the thing and the fix, exit code 2, nothing left behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from recipe.config import load_config
from recipe.errors import UserError
from recipe.train import train
from tests.tiny_run import start_run


def fail(path: Path, *overrides: str) -> str:
    with pytest.raises(UserError) as raised:
        train(load_config(path, overrides))
    return str(raised.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.token_buget=5"], "unknown key data.token_buget: did you mean data.token_budget?"),
        (["optimizer.lr=fast"], "optimizer.lr"),
        (["tasks=[colla]"], "unknown task 'colla': did you mean 'cola'?"),
        (["data.store=/no/such/store"], "/no/such/store: no such folder; convert the data first: python -m data_prep"),
        (["tasks=[rte]"], "no train split of rte"),
        (["tasks=[cola,aeslc]"], "roberta has no decoder to learn aeslc"),
        (["data.token_budget=40"], "data.token_budget=40 is smaller than an example of task"),
        (["backbone.config.hidden_sise=8"], "hidden_sise"),
        (["runs=/proc/nowhere"], "cannot write the run's folder /proc/nowhere/tiny"),
    ],
    ids=lambda value: value[0].split("=")[0] if isinstance(value, list) else "",
)
def test_wrong_configuration(run_yaml: Path, tmp_path: Path, overrides: list[str], message: str):
    assert message in fail(run_yaml, *overrides)
    assert not list(tmp_path.glob("runs/*/checkpoints/*"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "tokenizer"])
def test_a_damaged_or_foreign_store(run_yaml: Path, tmp_path: Path, miniature_store: str, damage: str):
    store = tmp_path / "store"
    shutil.copytree(miniature_store, store)
    (shard,) = store.glob("*/squad/train/*.zstd")
    if damage == "truncated":
        os.truncate(shard, shard.stat().st_size // 2)
        message = f"{shard}: is truncated or missing"
    elif damage == "flipped":
        content = bytearray(shard.read_bytes())
        content[len(content) // 2] ^= 255
        shard.write_bytes(content)
        message = f"{shard}: damaged or missing"
    else:
        (folder,) = store.iterdir()
        folder.rename(store / "bpe999-00000000")
        message = "was made with another tokenizer: it has bpe999-00000000"
    assert message in fail(run_yaml, f"data.store={store}")


def test_a_backbone_that_does_not_exist(run_yaml: Path):
    assert "'no-such-folder'" in fail(run_yaml, "backbone.config=null", "backbone.name=no-such-folder")


@pytest.mark.slow
def test_the_command_says_it_in_one_line_and_exits_with_2(run_yaml: Path, tmp_path: Path):
    process = start_run(run_yaml, "tasks=[rte]")
    assert process.wait() == 2
    errors = [line for line in process.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "no train split of rte" in errors[0]
    assert "Traceback" not in process.output
