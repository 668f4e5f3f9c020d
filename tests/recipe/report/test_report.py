"""The report holds the right numbers in whole files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.image import imread

from recipe.report import TaskResult, aggregate, aggregate_primary, load_results, write_report
from recipe.report.curves import read_metrics, series, smooth
from recipe.report.files import write_beside
from recipe.report.markdown import report_text

COLA = TaskResult(
    "cola",
    "classification",
    1043,
    {"matthews": 0.5, "accuracy": 0.8},
    "matthews",
    {"matthews": 0.0, "accuracy": 0.69},
    "constant class",
)
BOOLQ = TaskResult("boolq", "classification", 3270, {"accuracy": 0.6}, "accuracy", {"accuracy": 0.62}, "constant class")
XSUM = TaskResult("xsum", "summarization", 100, {"rougeL": 0.3}, "rougeL", {"rougeL": 0.12}, "lead")
RESULTS = [XSUM, COLA, BOOLQ]


def test_every_task_counts_the_same_in_the_aggregate() -> None:
    assert aggregate(RESULTS) == pytest.approx((0.5 + 0.6 + 0.3) / 3)


def test_training_and_report_share_one_aggregate() -> None:
    assert aggregate_primary({"cola": 0.5, "boolq": 0.6, "xsum": 0.3}) == aggregate(RESULTS)


def test_no_task_has_no_aggregate() -> None:
    with pytest.raises(ValueError, match="no task has a score"):
        aggregate_primary({})


def test_a_result_without_its_primary_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="'cola': baseline lacks the primary metric 'matthews'"):
        TaskResult("cola", "classification", 1, {"matthews": 0.1}, "matthews", {"accuracy": 0.1}, "constant class")


def test_results_survive_saving_and_loading_in_report_order(tmp_path: Path) -> None:
    write_report(tmp_path, RESULTS, "run")
    assert load_results(tmp_path / "results.json") == [BOOLQ, COLA, XSUM]
    content = json.loads((tmp_path / "results.json").read_text())
    assert (content["run_name"], content["aggregate"]) == ("run", aggregate(RESULTS))


def test_loading_something_else_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"results": [{"task": "cola"}]}')
    with pytest.raises(ValueError, match=r"results\.json: not a results file"):
        load_results(path)


def test_report_shows_score_baseline_difference_and_count_by_family_then_task() -> None:
    rows = [line for line in report_text(RESULTS, "my run").splitlines() if line.startswith("| ")]
    assert rows == [
        "| task | metric | score | baseline | difference | n | other metrics |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        "| boolq | accuracy | 60.0 | 62.0 | -2.0 (below) | 3,270 |  |",
        "| cola | matthews | 50.0 | 0.0 | +50.0 | 1,043 | accuracy 80.0 |",
        "| task | metric | score | baseline | difference | n | other metrics |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
        "| xsum | rougeL | 30.0 | 12.0 | +18.0 | 100 |  |",
    ]


def test_report_names_the_run_its_aggregate_and_the_tasks_below_their_baseline() -> None:
    text = report_text(RESULTS, "my run")
    assert text.startswith("# my run\n")
    assert "**Aggregate: 46.7 %** over 3 tasks" in text
    assert "**Below their baseline (1):** `boolq`" in text
    assert "No task is below its baseline." in report_text([COLA, XSUM], "my run")


def test_write_report_leaves_whole_files_only(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text('{"step": 0, "epoch": 0, "loss/scaled/mean": 1.0}\n{"step": 1, "metrics/aggregate": 0.4}\n')
    report = write_report(tmp_path / "report", RESULTS, "run", metrics)
    assert sorted(path.name for path in report.parent.iterdir()) == [
        "curves.png",
        "report.md",
        "report.png",
        "results.json",
    ]
    assert "![curves](curves.png)" in report.read_text()


def test_without_a_metrics_file_there_are_no_curves(tmp_path: Path) -> None:
    report = write_report(tmp_path, RESULTS, "run")
    assert "curves" not in report.read_text()
    assert not (tmp_path / "curves.png").exists()


def test_the_picture_grows_with_the_tasks(tmp_path: Path) -> None:
    many = [TaskResult(f"task{i}", "mrc", 9, {"f1": 0.5}, "f1", {"f1": 0.1}, "random span") for i in range(40)]
    write_report(tmp_path / "few", RESULTS, "few")
    write_report(tmp_path / "many", many, "many")
    few, large = (imread(tmp_path / name / "report.png").shape for name in ("few", "many"))
    assert few[1] == large[1]
    assert large[0] > few[0] + 30 * 0.2 * 150


def test_a_failing_writer_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_beside(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_unfinished_last_line_is_dropped_and_another_one_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0, "loss": 1.5}\n{"step": 1, "lo')
    assert read_metrics(path) == [{"step": 0, "loss": 1.5}]
    path.write_text('{"step": 0}\nnonsense\n{"step": 2}\n')
    with pytest.raises(ValueError, match="line 2"):
        read_metrics(path)


def test_a_series_skips_steps_without_a_value() -> None:
    records = [{"step": 0, "loss": 2.0}, {"step": 1}, {"step": 2, "loss": None}, {"step": 3, "loss": 1.0}]
    assert series(records, "loss") == ([0, 3], [2.0, 1.0])


def test_smoothing_averages_the_last_values() -> None:
    assert smooth([1, 3, 5, 7], window=2) == [1, 2, 4, 6]
