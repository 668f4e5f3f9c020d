"""Ranking the tasks of runs by the weights that they recorded: of real tiny runs, and of records with known answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from recipe.config import load_config
from recipe.errors import UserError
from recipe.report.task_weights import RankedTask, RecordedWeights, rank_tasks, read_weights
from recipe.report.weight_curves import named_tasks, spread_out
from recipe.task_weights import report_weights
from recipe.train import train

META = ["method=meta", "end_task=cola", "lr=1.0", "head_examples=16", "examples=16"]
SHORT = ["max_duration=4ba", "eval_interval=9ep", "data.max_steps_per_epoch=4", "algorithms.r3f.enabled=false"]


def write_run(folder: Path, records: Sequence[Mapping[str, Any]]) -> Path:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def weights_at(step: int, kind: str = "tartan", seen: Sequence[str] = (), **weights: float | None) -> dict[str, Any]:
    """A line of a metrics file."""
    named = {f"{kind}/weight/{task}": weight for task, weight in weights.items()}
    return {"step": step, "epoch": 0, **named, **{f"loss/raw/{task}": 1.0 for task in seen}}


def read(run: Path) -> RecordedWeights:
    return read_weights(run, run / "metrics.jsonl")


def test_two_real_runs_are_ranked_and_shown(run_yaml):
    tartan = [f"algorithms.tartan.{override}" for override in META]
    runs = [
        train(load_config(run_yaml, [*tartan, *SHORT, f"seed={seed}", f"run_name=seed_{seed}"])).path for seed in (1, 2)
    ]
    report = report_weights(runs)
    assert report == runs[0] / "task_weights.md"
    text = report.read_text()
    recorded = [read(run) for run in runs]
    tasks = [ranked.task for ranked in rank_tasks(recorded)]
    assert recorded[0].steps == [1, 2, 3, 4] and recorded[0].kind == "tartan"
    assert sorted(tasks) == sorted(load_config(run_yaml).tasks)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert [row[1] for row in rows] == tasks
    assert text.startswith("# Which tasks help cola?")
    assert all(row[-1].endswith("of 2 runs |") for row in rows)
    assert imread(runs[0] / "task_weights.png").shape[0] > 500


def test_balancing_is_ranked_against_the_weight_1(run_yaml):
    run = train(load_config(run_yaml, ["algorithms.balancing=inverse_loss", *SHORT])).path
    text = report_weights([run]).read_text()
    assert read(run).kind == "balancing" and read(run).equal == 1
    assert text.startswith("# Task weights") and "does not mean that the task helps" in text
    assert "lowest to highest" not in text, "one run has no spread"


def test_final_weights_are_means_over_the_last_tenth_and_over_runs(tmp_path):
    def records(last: float) -> list[dict[str, Any]]:
        early = [weights_at(step, a=0.9, b=0.05, c=0.05) for step in range(10, 190, 10)]
        return [*early, weights_at(190, a=0.2, b=last, c=0.8 - last), weights_at(200, a=0.2, b=0.6, c=0.2)]

    runs = [read(write_run(tmp_path / name, records(last))) for name, last in (("one", 0.4), ("two", 0.2))]
    ranking = rank_tasks(runs)
    assert [ranked.task for ranked in ranking] == ["b", "c", "a"]
    assert runs[0].final_steps == [190, 200]
    assert ranking[0].weights == pytest.approx((0.5, 0.4)) and ranking[0].weight == pytest.approx(0.45)
    assert [ranked.runs_above_equal for ranked in ranking] == [2, 1, 0]


def test_how_often_a_task_was_seen_comes_from_the_recorded_losses(tmp_path):
    steps = [weights_at(1, seen="ab", a=0.5, b=0.5), weights_at(2, seen="a", a=0.6, b=0.4)]
    assert read(write_run(tmp_path / "one", steps)).seen == {"a": 1.0, "b": 0.5}
    run = write_run(tmp_path / "no_losses", [weights_at(1, a=0.6, b=0.4)])
    assert read(run).seen is None
    assert "seen" not in report_weights([run]).read_text()


def test_a_run_that_was_killed_while_writing_is_read(tmp_path):
    run = write_run(tmp_path / "one", [weights_at(1, a=0.6, b=0.4)])
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "tartan/wei')
    assert read(run).steps == [1]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"step": 1, "loss/raw/a": 1.0}], r"no task weights: train with algorithms.tartan.method=meta"),
        ([weights_at(1, a=0.5, b=0.5)], r"weigh the same .*method=mt never moves weights, use meta"),
        ([weights_at(1, a=0.5, b=0.5), weights_at(2, a=None, b=0.5)], r"at step 2 the weight of a is not finite"),
    ],
)
def test_a_run_that_cannot_be_ranked_says_why(tmp_path, records, message):
    with pytest.raises(UserError, match=message):
        report_weights([write_run(tmp_path / "run", records)])


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no run at .*/nowhere .*runs/<run_name>"):
        report_weights([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ([weights_at(1, a=0.6, c=0.4)], r"one and .*two differ in b, c: "),
        ([weights_at(1, "balancing", a=1.2, b=0.8)], r"one has tartan weights and .*two balancing weights"),
        ([weights_at(1, a=0.6, b=0.4), weights_at(2, a=0.6, b=0.4)], r"up to step 1 and .*two up to 2"),
    ],
)
def test_runs_that_cannot_be_compared_say_why(tmp_path, other, message):
    one = write_run(tmp_path / "one", [weights_at(1, a=0.6, b=0.4)])
    with pytest.raises(UserError, match=message):
        report_weights([one, write_run(tmp_path / "two", other)])


def test_a_run_named_twice_is_refused(tmp_path):
    one = write_run(tmp_path / "one", [weights_at(1, a=0.6, b=0.4)])
    with pytest.raises(UserError, match="one is named twice"):
        report_weights([one, one])


def test_runs_for_different_end_tasks_are_refused(tmp_path):
    one = write_run(tmp_path / "one", [weights_at(1, a=0.6, b=0.4)])
    two = shutil.copytree(one, tmp_path / "two")
    for run, end_task in ((one, "a"), (two, "b")):
        (run / "config.yaml").write_text(f"algorithms: {{tartan: {{end_task: {end_task}}}}}\n")
    with pytest.raises(UserError, match=r"differ in algorithms.tartan.end_task \(.*one: a, .*two: b\)"):
        report_weights([one, two])


def test_of_forty_tasks_the_extremes_and_the_end_task_are_named():
    ranking = [RankedTask(f"task{number:02}", (1 - number / 100,), None, 0.8) for number in range(40)]
    named = named_tasks(ranking, "task20")
    assert named == {f"task{number:02}" for number in (0, 1, 2, 3, 20, 36, 37, 38, 39)}
    assert len(named_tasks(ranking[:6], None)) == 6


def test_names_are_moved_apart_no_further_than_needed():
    assert spread_out([0.2, 0.5, 0.9], 0.1, 0, 1) == [0.2, 0.5, 0.9]
    moved = spread_out([0.0, 0.01, 0.98, 0.99, 1.0], 0.1, 0, 1)
    assert moved == pytest.approx([0.0, 0.1, 0.8, 0.9, 1.0])
