"""The protocol: a fixed search, the same seeds for every start, killed and continued; clear errors for wrong use."""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from transformers import AutoModel

from recipe.checkpoint import CheckpointError
from recipe.config import BackboneConfig
from recipe.evaluate import describe
from recipe.finetune import finetune
from recipe.protocol.cells import list_cells, run_cells
from recipe.protocol.config import ProtocolConfig, finetune_config, hyperparameters, load_protocol_config
from recipe.protocol.finetune_config import load_finetune_config
from recipe.protocol.process import ProcessError
from recipe.protocol.result import FinetuneResult, load_predictions, load_result
from recipe.protocol.search import search
from recipe.protocol.starts import name_starts
from recipe.protocol.study_config import load_study_config, study_evaluation, study_runs
from recipe.protocol.trial import Cell, Trial, run_trial
from recipe.run_folder import RunFolderError
from recipe.study import describe_study, prefinetune, study
from recipe.study import main as study_main
from recipe.yaml_keys import ConfigError, save_config
from tests.processes import ROOT, Forked
from tests.tiny_run import write_tiny_study

CELL = Cell("cb", "plain", "roberta-base", 1.0)


def write(path: Path, keys: dict) -> Path:
    path.write_text(yaml.safe_dump(keys))
    return path


def protocol(folder: Path, **keys) -> ProtocolConfig:
    given = {"name": "small", "folder": str(folder), "starts": {"plain": "roberta-base"}, "tasks": ["cb"]}
    data = {"data": {"store": "stores/none"}}
    return load_protocol_config(write(folder / "protocol.yaml", {"finetune": data, **given, **keys}))


def outcome(trial: Trial, score: float) -> FinetuneResult:
    point = dict(trial.point)
    return FinetuneResult(
        *("cb", "classification", trial.cell.start, trial.seed, 1.0, "accuracy", {"accuracy": score}, 56, point),
        *(False, 10, 160, 16_000, 60.0, [(10, score)]),
    )


def test_every_combination_is_tried_once_and_the_best_runs_with_all_seeds(tmp_path: Path):
    config = protocol(tmp_path, seeds=[3, 1], search={"lr": [1e-5, 3e-5], "eps": [1e-6, 1e-8], "dropout": [None, 0.1]})
    ran: list[Trial] = []

    def run(trial: Trial) -> FinetuneResult:
        if len(ran) == 3 and trial not in ran:
            ran.append(trial)
            raise KeyboardInterrupt
        ran.append(trial)
        point = dict(trial.point)
        best = point == {"lr": 3e-5, "eps": 1e-6, "dropout": None}
        return outcome(trial, 0.9 if best else 0.1)

    with pytest.raises(KeyboardInterrupt):
        search(CELL, tmp_path, config, run)
    final = search(CELL, tmp_path, config, run).runs
    assert [(dict(trial.point), trial.seed) for trial in final] == [
        ({"lr": 3e-5, "eps": 1e-6, "dropout": None}, seed) for seed in (3, 1)
    ]
    searched = [trial for trial in ran if trial.seed == 3]
    assert {trial.point for trial in searched} == {tuple(point.items()) for point in hyperparameters(config.search)}
    assert len(searched) == 8 + 1 + 1, "eight combinations, the interrupted one again, and the best one's result"


def test_a_combination_that_fails_or_diverges_is_the_worst_and_is_named(tmp_path: Path):
    config = protocol(tmp_path, seeds=[1, 2], search={"lr": [1e-5, 3e-5, 9e-5]})
    ran: list[Trial] = []

    def run(trial: Trial) -> FinetuneResult:
        ran.append(trial)
        lr = dict(trial.point)["lr"]
        if lr == 3e-5:
            raise ProcessError("out of memory")
        return outcome(trial, math.nan if lr == 9e-5 else 0.1)

    for _ in range(2):  # in the next call they may succeed
        ran.clear()
        found = search(CELL, tmp_path, config, run)
        assert [(dict(trial.point)["lr"], trial.seed) for trial in found.runs] == [(1e-5, 1), (1e-5, 2)]
        assert [dict(trial.point)["lr"] for trial in ran].count(3e-5) == 1
        failed, diverged = found.errors
        assert failed == "out of memory"
        assert "lr=9e-05,eps=1e-06,seed=1: its accuracy is undefined, as of a run that diverged" in diverged


def test_a_cell_fails_only_if_nothing_of_it_succeeds(tmp_path: Path):
    def run(trial: Trial) -> FinetuneResult:
        if trial.seed != 2:
            raise ProcessError(f"no {trial.name}")
        return outcome(trial, 0.5)

    config = protocol(tmp_path, seeds=[1, 2], search={"lr": [1e-5]})
    found = search(CELL, tmp_path, config, run)
    assert [trial.seed for trial in found.runs] == [2] and found.errors == ["no lr=1e-05,eps=1e-06,seed=1"]
    with pytest.raises(ProcessError, match=r"^no lr=1e-05,eps=1e-06,seed=1 \(and 1 more of cb/plain/1\)$"):
        search(CELL, tmp_path, protocol(tmp_path, seeds=[1, 2], search={"lr": [1e-5, 3e-5]}), run)


def test_a_cell_that_fails_stops_no_other_and_is_named(tmp_path: Path):
    config = protocol(tmp_path, seeds=[1])
    outcome = run_cells(list_cells(config, {"plain": str(tmp_path / "no-such-model")}), tmp_path / "runs", config)
    assert not outcome.runs
    (error,) = outcome.errors
    assert "cannot load backbone" in error or "tokenizer" in error
    assert "no-such-model" in error


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"finetune": {"seed": 3}}, r"finetune\.seed: the protocol sets it"),
        ({"finetune": {"optimizer": {"lr": 1e-5}}}, r"finetune\.optimizer\.lr: the protocol sets it"),
        ({"finetune": {"patienc": 3}}, r"finetune of cb: unknown key patienc: did you mean patience\?"),
        ({"per_task": {"rtee": {}}}, r"per_task: unknown task 'rtee': did you mean 'rte'"),
        ({"run": "runs/x"}, r"give either run .* or starts"),
        ({"tasks": ["cbb"]}, r"unknown task 'cbb': did you mean 'cb'"),
        ({"seeds": []}, r"tasks, seeds, fractions and the lists of search must each name at least one"),
        ({"search": {"lr": []}}, r"the lists of search must each name at least one"),
    ],
)
def test_a_protocol_that_cannot_be_run_is_refused_at_once(tmp_path: Path, keys: dict, message: str):
    given = {"name": "x", "tasks": ["cb"], "starts": {"plain": "roberta-base"}, **keys}
    own = given.get("finetune", {})
    given["finetune"] = {**own, "data": {"store": "stores/none"}}
    with pytest.raises(Exception, match=message):
        load_protocol_config(write(tmp_path / "p.yaml", given))


def test_only_a_run_with_a_backbone_can_be_compared_with_it(tmp_path: Path):
    config = protocol(tmp_path, starts={}, run=str(tmp_path / "run"))
    with pytest.raises(CheckpointError, match=r"has no config\.yaml"):
        name_starts(config)
    (tmp_path / "run").mkdir()
    write(tmp_path / "run" / "config.yaml", {"backbone": {"name": ""}})
    with pytest.raises(ConfigError, match="began with random weights"):
        name_starts(config)
    write(tmp_path / "run" / "config.yaml", {"backbone": {"name": "models/roberta"}})
    assert name_starts(config) == {"plain": "models/roberta", "run": str(tmp_path / "run")}
    write(tmp_path / "run" / "config.yaml", {"backbone": {"name": "models/run"}})
    assert len(name_starts(config)) == 2, "a run may be called as its backbone is"


@pytest.fixture
def study_yaml(tmp_path: Path, miniature_store: str, tiny_tokenizer_folder: str) -> Path:
    """Pre-finetuning on one and on two tasks, two steps each, compared on CB."""
    folder = str(tmp_path / "studies")
    path = write_tiny_study(tmp_path, tiny_tokenizer_folder, miniature_store, name="scale", folder=folder)
    AutoModel.from_pretrained(tmp_path / "plain")
    return path


def test_a_study_that_is_killed_goes_on_and_reports_what_an_uninterrupted_one_would(
    study_yaml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "studies" / "scale"
    process = Forked("recipe/study.py", str(study_yaml))
    while not (folder / "runs" / "tasks_01" / "finished.json").is_file():
        assert process.poll() is None, process.output
        time.sleep(0.05)
    kill_with_all_it_began(process)
    first = (folder / "runs" / "tasks_01" / "metrics.jsonl").stat().st_mtime_ns
    evaluation = folder / "evaluation"
    process = Forked("recipe/study.py", str(study_yaml))
    while not list(evaluation.glob("cb/tasks_01/1/*/metrics.jsonl")):
        assert process.poll() is None, process.output
        time.sleep(0.02)
    kill_with_all_it_began(process)
    (plain,) = evaluation.glob("cb/plain/1/*/result.json")
    before_it = plain.stat().st_mtime_ns
    assert not list(evaluation.glob("cb/tasks_01/1/*/result.json")), "killed while it fine-tuned"
    study_main([str(study_yaml)])
    said = capsys.readouterr().out
    assert (folder / "runs" / "tasks_01" / "metrics.jsonl").stat().st_mtime_ns == first, "what is done is skipped"
    assert plain.stat().st_mtime_ns == before_it

    report = (evaluation / "report.md").read_text()
    assert report in said and report.startswith("# scale\n")
    assert "| cb | train | " in report and "| cb | validation | " in report
    before = json.loads((folder / "runs" / "tasks_01" / "finished.json").read_text())
    assert f"| tasks\\_01 | 2 | {before['examples']} | {before['tokens']} | 0.00 |" in report.split("spent before")[1]
    for label in ("plain", "tasks_01", "tasks_02"):
        (trial,) = (evaluation / "cb" / label / "1").glob("*/finetune.yaml")
        result = load_result(trial.parent)
        assert f"{100 * result.score:.1f}" in report
        if label == "tasks_02":
            alone = load_finetune_config(trial, [f"runs={tmp_path}/alone"])
            repeated = finetune(alone)
            assert repeated.scores == result.scores
            assert load_predictions(Path(alone.runs) / alone.run_name) == load_predictions(trial.parent)
    assert (evaluation / "report.html").stat().st_size > 10_000

    whole = study(load_study_config(study_yaml, [f"folder={tmp_path}/whole"]), f"python recipe/study.py {study_yaml}")
    uninterrupted = whole.with_name("report.md").read_text().replace("/whole", "/studies")
    assert without_times(uninterrupted) == without_times(report)


def kill_with_all_it_began(process: Forked) -> None:
    begun = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert begun and not psutil.wait_procs(begun, timeout=30)[1], "the run that it had begun ends with it"


def without_times(report: str) -> str:
    """A report without the last column of its tables where that has hours or minutes."""
    return re.sub(r" \| \d+\.\d+ \|$", " |", report, flags=re.MULTILINE)


SHIPPED = sorted(path for folder in ("finetune", "eval", "studies") for path in (ROOT / "yamls" / folder).iterdir())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_file_is_one_that_runs(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)  # a study names its base from there
    load = {"finetune": load_finetune_config, "eval": load_protocol_config, "studies": load_study_config}
    load[path.parent.name](path)


def test_a_dry_run_lists_every_run(study_yaml: Path, tmp_path: Path):
    runs = study_runs(load_study_config(study_yaml))
    assert {name: run.tasks for name, run in runs.items()} == {"tasks_01": ["cb"], "tasks_02": ["cb", "copa"]}
    listed = describe(protocol(tmp_path, tasks=["cb", "rte"], seeds=[1, 2, 3], search={"lr": [1e-5, 2e-5]}))
    assert "| cb | 4 | 0 | 80 |" in listed
    assert "2 combinations to try, the best with 3 seeds" in listed


def test_a_dry_run_tells_hours_from_what_is_done_and_else_from_a_speed(study_yaml: Path):
    config = load_study_config(study_yaml)  # two steps of each run
    run = study_runs(config)["tasks_01"]
    examples = 2 * run.data.step_examples
    assert "| tasks_01 | 1 | mixed | 2 | known after the first run |" in describe_study(config)
    hourly = describe_study(config, speed=examples / 7200)
    assert "| tasks_01 | 1 | mixed | 2 | 2.0 |" in hourly and "| tasks_02 | 2 | mixed | 2 | 2.0 |" in hourly
    assert "| cb | 3 | 0 | 2 | 6.0 |\n\nHours left, one run at a time: 6.0" in hourly, "a run from each of three starts"

    folder = Path(run.runs) / "tasks_01"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(save_config(run))
    seen = {"steps": 2, "examples": examples, "tokens": 1, "seconds": 18_000}
    (folder / "finished.json").write_text(json.dumps(seen))
    measured = describe_study(config, speed=1.0)
    assert "| tasks_01 | 1 | mixed | 2 | done |" in measured and "| tasks_02 | 2 | mixed | 2 | 5.0 |" in measured


def finish(root: Path, trial: Trial, score: float, **values: Any) -> None:
    trial.folder(root).mkdir(parents=True, exist_ok=True)
    result = replace(outcome(trial, score), fraction=trial.cell.fraction, **values)
    (trial.folder(root) / "result.json").write_text(json.dumps(result.__dict__))


def test_a_dry_run_counts_only_the_runs_that_this_search_makes(tmp_path: Path):
    config = protocol(tmp_path, seeds=[1, 2], search={"lr": [1e-5, 2e-5]})
    earlier, worse, best = ((("lr", lr), ("eps", 1e-6), ("dropout", None)) for lr in (9e-5, 1e-5, 2e-5))
    for point, score, seeds in ((earlier, 0.9, (1, 2)), (worse, 0.1, (1, 2)), (best, 0.5, (1,))):
        for seed in seeds:
            finish(tmp_path / "small", Trial(CELL, point, seed), score, seconds=7200)
    assert "| cb | 1 | 2 | 80 | 2.0 |" in describe(config), "the best one's second seed is left"
    finish(tmp_path / "small", Trial(CELL, best, 2), 0.5)
    assert "| cb | 0 | 3 | 80 | 0.0 |" in describe(config)


def test_a_dry_run_tells_the_hours_of_each_share_of_the_data(tmp_path: Path):
    config = protocol(tmp_path, seeds=[1, 2], search={"lr": [1e-5]}, fractions=[0.5, 1.0])
    steps, halves = 80, 40
    hourly = describe(config, speed=2 * (steps + halves) * 32 / 3600)
    assert "| cb | 4 | 0 | 80 | 1.0 |" in hourly
    half = Trial(replace(CELL, fraction=0.5), (("lr", 1e-5), ("eps", 1e-6), ("dropout", None)), 1)
    finish(tmp_path / "small", half, 0.5, seconds=3600)
    assert "| cb | 3 | 1 | 80 | known after the first run |" in describe(config), "a half says nothing of the whole"
    assert "| cb | 3 | 1 | 80 | 3.0 |" in describe(config, speed=steps * 32 / 3600)


def test_a_study_says_what_its_runs_are_compared_with(study_yaml: Path, tmp_path: Path):
    config = load_study_config(study_yaml)
    runs = study_runs(config)
    tuned = {"tuned": replace(runs["tasks_01"], backbone=BackboneConfig(name="models/tuned"))}
    assert next(iter(study_evaluation(config, runs).starts.items())) == ("plain", str(tmp_path / "plain"))
    with pytest.raises(ConfigError, match=r"scale: its runs begin with .*plain, models/tuned; .* or give starts"):
        study_evaluation(config, runs | tuned)
    named = replace(config, starts={"mini": "models/mini", "prefinetuned": "runs/x"})
    starts = study_evaluation(named, runs | tuned).starts
    assert list(starts) == ["mini", "prefinetuned", "tasks_01", "tasks_02", "tuned"]
    with pytest.raises(ConfigError, match=r"scale: starts\.tasks_01: a run of the study has this name"):
        study_evaluation(replace(config, starts={"tasks_01": "models/mini"}), runs)


@pytest.mark.usefixtures("nothing_registered")
def test_a_task_of_a_users_own_is_known_from_the_runs_that_learned_it(tmp_path: Path):
    entry = {"family": "classification", "train": "a.csv", "columns": {"text": "t", "label": "l"}, "labels": ["x", "y"]}
    (tmp_path / "run").mkdir()
    write(tmp_path / "run" / "config.yaml", {"user_tasks": {"mine": entry}})
    config = protocol(tmp_path, starts={"plain": "roberta-base", "run": str(tmp_path / "run")}, tasks=["cb", "mine"])
    own = {
        task: finetune_config(
            config, task, "s", 1.0, {"lr": 1e-5, "eps": 1e-6, "dropout": None}, seed=1, runs="r", run_name="n"
        )
        for task in config.tasks
    }
    assert list(own["mine"].user_tasks) == ["mine"] and own["mine"].user_tasks["mine"].labels == ["x", "y"]
    assert not own["cb"].user_tasks, "else its finished runs would be of other settings"
    alone = load_finetune_config(
        write(
            tmp_path / "f.yaml",
            {"run_name": "f", "task": "mine", "start": str(tmp_path / "run"), "data": {"store": "s"}},
        )
    )
    assert list(alone.user_tasks) == ["mine"]


def test_a_run_made_with_other_settings_is_never_reused(tmp_path: Path, study_yaml: Path):
    runs = study_runs(load_study_config(study_yaml))
    for name, run in runs.items():
        folder = Path(run.runs) / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(save_config(run))
        (folder / "finished.json").write_text("{}")
    prefinetune(runs, ranks=1)
    assert not list(tmp_path.rglob("train.log"))
    config = load_study_config(study_yaml, ["overrides.optimizer={lr: 1e-2}"])
    with pytest.raises(RunFolderError, match=r"tasks_01 holds a run with optimizer\.lr=2e-05, now it is 0\.01"):
        prefinetune(study_runs(config), ranks=1)


def test_a_result_made_with_other_settings_is_never_reused(tmp_path: Path):
    config = protocol(tmp_path)
    (point, *_) = hyperparameters(config.search)
    trial = Trial(CELL, tuple(point.items()), 1)
    trial.folder(tmp_path).mkdir(parents=True)
    (trial.folder(tmp_path) / "result.json").write_text(json.dumps(outcome(trial, 0.5).__dict__))
    before = {"task": "cb", "start": "roberta-base", "run_name": "x", "data": {"store": "s"}, "max_duration": "3ep"}
    write(trial.folder(tmp_path) / "finetune.yaml", before)
    with pytest.raises(ProcessError, match=r"was run with other settings; now it would be .*max_duration: 10ep"):
        run_trial(trial, tmp_path, config)


def test_a_result_with_test_scores_is_the_same_run_s_whether_they_were_asked_for_or_not(tmp_path: Path):
    config = protocol(tmp_path)
    (point, *_) = hyperparameters(config.search)
    trial = Trial(CELL, tuple(point.items()), 1)
    folder = trial.folder(tmp_path)
    names = {"runs": str(folder.parent), "run_name": trial.name}
    own = finetune_config(config, CELL.task, CELL.start, CELL.fraction, point, seed=1, **names)
    folder.mkdir(parents=True)
    (folder / "finetune.yaml").write_text(save_config(own))
    tested = replace(outcome(trial, 0.5), test_scores={"accuracy": 0.4}, test_examples=250)
    (folder / "result.json").write_text(json.dumps(tested.__dict__))
    for asked in (False, True):
        assert run_trial(trial, tmp_path, replace(config, finetune={**config.finetune, "score_test": asked})) == tested
