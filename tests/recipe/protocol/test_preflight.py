"""Before the first run: whether the data is there, said in one error with the command that mends it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from recipe.data.manifest import Manifest, write_manifest
from recipe.data.store import StoreError
from recipe.evaluate import describe, evaluate
from recipe.protocol.cells import list_cells
from recipe.protocol.config import ProtocolConfig, parse_protocol_config
from recipe.protocol.preflight import Need, check_data, needed_data
from recipe.protocol.result import FinetuneResult
from recipe.protocol.study_config import load_study_config
from recipe.protocol.trial import Cell, Trial
from recipe.study import describe_study, study
from recipe.tasks import PREFINETUNE_TASKS
from recipe.yaml_keys import read_keys
from tests.processes import ROOT
from tests.tiny_run import write_tiny_study


def protocol(folder: Path, store: str, tokenizer: str, **keys: Any) -> ProtocolConfig:
    given = {"name": "small", "folder": str(folder), "starts": {"plain": tokenizer}, "tasks": ["cb", "rte"]}
    own = {"finetune": {"data": {"store": store}}, "seeds": [1, 2], "search": {"lr": [1e-5]}}
    return parse_protocol_config(OmegaConf.create({**own, **given, **keys}), "protocol")


def finish(root: Path, cell: Cell, seed: int, **values: Any) -> None:
    trial = Trial(cell, (("lr", 1e-5), ("eps", 1e-6), ("dropout", None)), seed)
    trial.folder(root).mkdir(parents=True)
    result = FinetuneResult(
        *(cell.task, "classification", cell.start, seed, 1.0, "accuracy", {"accuracy": 0.5}, 56, dict(trial.point)),
        *(False, 10, 160, 16_000, 60.0, []),
    )
    (trial.folder(root) / "result.json").write_text(json.dumps(replace(result, **values).__dict__))


def test_a_task_without_shards_stops_an_evaluation_before_its_first_run(
    tmp_path: Path, miniature_store: str, tiny_tokenizer_folder: str
):
    config = protocol(tmp_path, miniature_store, tiny_tokenizer_folder)
    command = rf"python -m data_prep {miniature_store} --tokenizer {tiny_tokenizer_folder} --tasks rte"
    with pytest.raises(StoreError, match=rf"{miniature_store}/\S+: no train split of rte .*convert: {command}$"):
        evaluate(config, "make eval")
    assert not list(tmp_path.rglob("finetune.yaml"))
    assert f"\n\nNot ready: {miniature_store}/" in describe(config)
    assert "Not ready" not in describe(replace(config, tasks=["cb"]))


def test_a_study_tells_before_it_pre_finetunes_what_its_evaluation_will_lack(
    tmp_path: Path, miniature_store: str, tiny_tokenizer_folder: str
):
    keys = {"name": "scale", "folder": str(tmp_path / "studies")}
    path = write_tiny_study(tmp_path, tiny_tokenizer_folder, miniature_store, **keys)
    config = load_study_config(path, ["evaluation.tasks=[cb,rte]"])
    with pytest.raises(StoreError, match="no train split of rte"):
        study(config, "make study")
    with pytest.raises(StoreError, match=r"no train split of rte .*--tasks rte$"):  # of the pre-finetuning itself
        study(load_study_config(path, ["overrides.tasks=[cb,rte]"]), "make study")
    assert not (tmp_path / "studies").exists()
    assert "Not ready: " in describe_study(load_study_config(path, ["overrides.tasks=[cb,rte]"])).split("Then")[0]
    assert "Not ready: " in describe_study(config) and "no train split of rte" in describe_study(config)


def test_without_the_store_the_tokenizer_is_not_looked_for(tmp_path: Path):
    needs = [Need(f"{tmp_path}/none", "no-such-tokenizer", task, test=task == "mrpc") for task in ("rte", "mrpc")]
    command = f"python -m data_prep {tmp_path}/none --tokenizer no-such-tokenizer"
    with pytest.raises(StoreError) as raised:
        check_data(needs)
    assert str(raised.value) == (
        f"{tmp_path}/none: no such folder; convert the data first: {command} --tasks rte,mrpc && {command} --splits "
        "test --tasks mrpc"
    )


def test_finished_runs_need_no_shards(tmp_path: Path):
    config = protocol(tmp_path, "stores/none", "tok", tasks=["cb"])
    cells = list_cells(config, {"plain": "tok"})
    needed = [Need("stores/none", "tok", "cb")]
    assert needed_data(config, cells, tmp_path, {"plain": "tok"}) == needed
    finish(tmp_path, cells[0], 1)
    assert needed_data(config, cells, tmp_path, {"plain": "tok"}) == needed
    finish(tmp_path, cells[0], 2)
    assert needed_data(config, cells, tmp_path, {"plain": "tok"}) == []
    tested = replace(config, finetune={**config.finetune, "score_test": True})
    assert needed_data(tested, cells, tmp_path, {"plain": "tok"}) == [Need("stores/none", "tok", "cb", test=True)]


def test_a_metric_of_a_group_needs_that_group(tmp_path: Path, miniature_store: str, tiny_tokenizer_folder: str):
    store = Path(shutil.copytree(miniature_store, tmp_path / "store"))
    need = Need(str(store), tiny_tokenizer_folder, "mnli")
    check_data([need])
    (path,) = store.glob("*/mnli/validation/manifest.json")
    manifest = Manifest.from_json(path.read_text())
    write_manifest(str(path.parent), replace(manifest, source_split="validation_matched"))
    with pytest.raises(StoreError, match=r"validation split of mnli is validation_matched, so .* no accuracy_mismatch"):
        check_data([need])


def test_a_test_split_that_cannot_be_scored_is_an_error_that_names_the_key(
    miniature_store: str, tiny_tokenizer_folder: str
):
    for task, message in (("copa", "no test split of copa"), ("squad", "squad: the catalogue knows no test split")):
        fix = rf"{message}.*or do not score it: per_task\.{task}\.score_test=false"
        with pytest.raises(StoreError, match=fix):
            check_data([Need(miniature_store, tiny_tokenizer_folder, task, test=True)])


def test_the_comparators_conversion_has_what_their_evaluation_reads():
    text = (ROOT / "docs/evaluation.md").read_text().split("### The paper's comparators")[1].replace("\\\n", "")
    evaluations = ("paper_summarization", "paper")
    conversions = [line.split("--tasks ")[1].split(",") for line in text.splitlines() if "-m data_prep" in line]
    for name, tasks in zip(evaluations, conversions, strict=True):
        assert sorted(tasks) == sorted(read_keys(ROOT / f"yamls/eval/{name}.yaml").tasks)


def test_the_readmes_conversion_has_what_its_evaluation_reads():
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    commands = [line for line in text.splitlines() if "-m data_prep stores/" in line]
    assert "--tasks" not in commands[0], "the 46"
    named = {task for line in commands if "--tasks" in line for task in line.split("--tasks ")[1].split(",")}
    evaluated = set(read_keys(ROOT / "yamls/eval/paper.yaml").tasks)
    assert evaluated == evaluated & (set(PREFINETUNE_TASKS) | named)
