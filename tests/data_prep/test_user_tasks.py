"""A user's own data: files and a few lines of YAML become a task that is stored, looked at, learned and scored."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from data_prep import __main__ as cli
from data_prep.adapters import get_adapter
from data_prep.examples import (
    ChoiceExample,
    ClassificationExample,
    Example,
    InvalidData,
    RegressionExample,
    SpanExample,
    SummaryExample,
    TaggingExample,
    Unusable,
)
from data_prep.sources import Source, parse_source, table_file
from data_prep.sources.table_file import open_table
from recipe.checkpoint import BEST
from recipe.config import load_config, load_user_tasks
from recipe.data.store import StoreError, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.export import export, exported_start
from recipe.finetune import finetune
from recipe.protocol.config import finetune_config, hyperparameters, load_protocol_config
from recipe.protocol.finetune_config import load_finetune_config
from recipe.report import load_results
from recipe.score import score_run
from recipe.tasks import catalogue
from recipe.train import train
from recipe.yaml_keys import save_config
from tests.conftest import content
from tests.processes import ROOT
from tests.tiny_run import TINY

pytestmark = pytest.mark.usefixtures("nothing_registered")

Row = dict[str, Any]

REVIEWS: dict[str, Any] = {
    "family": "classification",
    "train": "reviews.csv",
    "columns": {"text": "review", "label": "stars"},
    "labels": ["negative", "positive"],
}
ROWS: list[Row] = [
    {
        "id": f"{n}",
        "review": f'She said "no {n}",\nand "yes"\tlater é',
        "stars": ("negative", "positive", "0", "1")[n % 4],
    }
    for n in range(80)
]


def write_rows(path: Path, rows: list[Row], encoding: str = "utf-8") -> Path:
    """The rows as whatever file the ending says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        with open(path, "w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    return path


def write_yaml(folder: Path, **tasks: Row) -> Path:
    path = folder / "my_tasks.yaml"
    path.write_text(yaml.safe_dump({"run_name": "what else a run has", "user_tasks": tasks}))
    return path


def read_examples(source: Source, task: str, split: str = "train") -> list[Example | str]:
    """The split's examples, and for rows that cannot become one the reason."""
    adapter, examples = get_adapter(task), []
    for rows in source.read(task, split, adapter.columns):
        for row in rows:
            try:
                examples.append(adapter.convert(row))
            except Unusable as reason:
                examples.append(str(reason))
    return examples


def convert(store: Path, path: Path, tokenizer: str, *more: str) -> int:
    return cli.main([str(store), "--user-tasks", str(path), "--tokenizer", tokenizer, "--max-length", "64", *more])


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("a.csv", "utf-8"), ("a.csv", "utf-8-sig"), ("a.tsv", "utf-8"), ("a.jsonl", "utf-8"), ("a.parquet", "utf-8")],
)
def test_every_kind_of_file_gives_the_same_examples(name: str, encoding: str, tmp_path: Path):
    write_rows(tmp_path / name, ROWS, encoding)
    source = parse_source(f"user:{write_yaml(tmp_path, my_reviews=REVIEWS | {'train': name})}")
    expected = [ClassificationExample(row["review"], number % 2) for number, row in enumerate(ROWS)]
    assert read_examples(source, "my_reviews") == expected


FAMILIES: list[tuple[str, Row, list[Row], list[Example | str]]] = [
    (
        "classification",
        {"columns": {"text": "a", "text_pair": "b", "label": "c"}, "labels": [1, 2]},
        [{"a": "one", "b": "two", "c": 2}, {"a": "one", "b": None, "c": 1}, {"a": "one", "b": "two", "c": None}],
        [ClassificationExample("one", 1, "two"), "empty text", "no gold label"],
    ),
    (
        "commonsense",
        {"columns": {"context": "q", "choices": ["a", "b"], "label": "c"}},
        [{"q": "why", "a": "so", "b": "not", "c": 1}],
        [ChoiceExample("why", ("so", "not"), 1)],
    ),
    (
        "commonsense",
        {"columns": {"context": "q", "choices": "a", "label": "c"}},
        [{"q": "why", "a": ["so", "not", "but"], "c": "2"}],
        [ChoiceExample("why", ("so", "not", "but"), 2)],
    ),
    (
        "mrc",
        {"columns": {"context": "c", "question": "q", "answers": "a"}},
        [
            {"c": "on and on", "q": "how?", "a": "on"},
            {"c": "on and on", "q": "how?", "a": ["and", "on"]},
            {"c": "on and on", "q": "how?", "a": {"text": ["on"], "answer_start": [7]}},
            {"c": "on and on", "q": "how?", "a": []},
            {"c": "on and on", "q": "how?", "a": "off"},
            {"c": "on and on", "q": "how?", "a": None},
        ],
        [
            SpanExample("how?", "on and on", ((0, 2), (7, 9)), ("on",)),
            SpanExample("how?", "on and on", ((0, 2), (3, 6), (7, 9)), ("and", "on")),
            SpanExample("how?", "on and on", ((7, 9),), ("on",)),
            SpanExample("how?", "on and on", (), ()),
            "the answer is not in the context",
            "no gold answer",
        ],
    ),
    (
        "mrc",
        {"columns": {"context": "c", "question": "q", "answers": "a"}, "unanswerable": False},
        [{"c": "on and on", "q": "how?", "a": "on"}, {"c": "on and on", "q": "how?", "a": []}],
        [SpanExample("how?", "on and on", ((0, 2), (7, 9)), ("on",)), "no gold answer"],
    ),
    (
        "summarization",
        {"columns": {"document": "d", "summary": "s"}},
        [{"d": "long", "s": "short"}],
        [SummaryExample("long", "short")],
    ),
    (
        "regression",
        {"columns": {"text": "a", "text_pair": "b", "score": "s"}, "score_range": [0, 3]},
        [{"a": "one", "b": "two", "s": 2.5}, {"a": "one", "b": "two", "s": "3"}, {"a": "one", "b": "two", "s": ""}],
        [RegressionExample("one", 2.5, "two"), RegressionExample("one", 3.0, "two"), "no gold label"],
    ),
    (
        "tagging",
        {"columns": {"words": "w", "tags": "t"}, "labels": ["O", "B"]},
        [{"w": ["New", "York"], "t": [1, "O"]}, {"w": "New York", "t": "B O"}, {"w": "", "t": ""}],
        [TaggingExample(("New", "York"), ("B", "O")), TaggingExample(("New", "York"), ("B", "O")), "empty sentence"],
    ),
]


@pytest.mark.parametrize(("family", "entry", "rows", "expected"), FAMILIES)
def test_every_familys_columns_become_its_examples(
    family: str, entry: Row, rows: list[Row], expected: list[Example | str], tmp_path: Path
):
    write_rows(tmp_path / "a.jsonl", rows)
    source = parse_source(f"user:{write_yaml(tmp_path, mine={'family': family, 'train': 'a.jsonl', **entry})}")
    assert read_examples(source, "mine") == expected


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_pieces_are_the_file_whatever_their_bounds(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table_file, "PIECE_ROWS", 7)
    table = open_table(str(write_rows(tmp_path / name, ROWS)))
    assert (table.rows, table.columns) == (80, ["id", "review", "stars"])
    for cuts in ([0, 80], [0, 1, 6, 7, 8, 14, 15, 50, 80], [0, 79, 80, 80]):
        pieces = (table.read(["stars", "id"], *piece) for piece in pairwise(cuts))
        rows = [row for piece in pieces for batch in piece for row in batch]
        assert rows == [{"stars": row["stars"], "id": row["id"]} for row in ROWS]


def test_a_file_that_changes_is_read_anew_and_its_name_and_hash_are_its_revision(tmp_path: Path):
    data = write_rows(tmp_path / "reviews.csv", ROWS)
    text = f"user:{write_yaml(tmp_path, my_reviews=REVIEWS)}"
    before = hashlib.sha256(data.read_bytes()).hexdigest()
    assert parse_source(text).revision("my_reviews") == f"reviews.csv@{before}: label=stars, text=review"
    write_rows(data, ROWS[:50])
    assert before not in parse_source(text).revision("my_reviews")
    assert parse_source(text).rows("my_reviews", "train") == 50


def test_a_store_of_ones_own_data_is_the_same_with_any_workers_and_can_be_looked_at(
    tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
):
    write_rows(tmp_path / "reviews.csv", ROWS)
    write_rows(tmp_path / "spans.jsonl", [{"c": f"text {n} of many", "q": "which?", "a": f"{n}"} for n in range(60)])
    spans = {"family": "mrc", "train": "spans.jsonl", "columns": {"context": "c", "question": "q", "answers": "a"}}
    same = spans | {"validation": "spans.jsonl"}
    path = write_yaml(tmp_path, my_reviews=REVIEWS | {"licence": "mine alone"}, my_spans=same)
    store, own = tmp_path / "store", ["--user-tasks", str(path)]
    assert convert(store, path, tiny_tokenizer_folder, "--workers", "1") == 0
    assert convert(tmp_path / "two", path, tiny_tokenizer_folder, "--workers", "2") == 0
    assert content(store) == content(tmp_path / "two") and len(content(store)) == 2 * 2 * 4
    assert convert(store, path, tiny_tokenizer_folder, "--tasks", "my_spans") == 0
    assert "0 streams converted, 2 already there" in capsys.readouterr().out

    assert cli.main(["verify", str(store), *own, "--show", "1"]) == 0
    output = capsys.readouterr().out
    assert "4 streams" in output and "0 damaged, 0 warnings" in output
    assert 'my_reviews/train: negative\n  She said "no 0",' in output
    assert cli.main(["card", str(store), *own, "--out", str(tmp_path / "card")]) == 0
    card = (tmp_path / "card" / "card.md").read_text()
    digest = hashlib.sha256((tmp_path / "reviews.csv").read_bytes()).hexdigest()
    assert f"| my_reviews | none | user | `reviews.csv@{digest[:12]}: label=stars, text=review` | mine alone |" in card
    assert cli.main(["overlap", str(store), *own, "--out", str(tmp_path / "overlap"), "--workers", "1"]) == 0
    assert "**1 of the 2 evaluation" in (tmp_path / "overlap" / "overlap.md").read_text()

    catalogue._registered.clear()
    assert cli.main(["verify", str(store)]) == 2
    assert "or name the YAML of your own tasks: --user-tasks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("files", "entry", "message"),
    [
        ({}, {}, r"reviews\.csv: no such file \(user_tasks\.my_reviews\.train in .*my_tasks\.yaml\)"),
        ({"reviews.csv": ""}, {}, r"reviews\.csv: is empty; its first line must name the columns"),
        ({"reviews.csv": "review,stars\n"}, {}, r"reviews\.csv: has no rows"),
        ({"a.jsonl": "\n"}, {"train": "a.jsonl"}, r"a\.jsonl: is empty"),
        ({"a.txt": "x"}, {"train": "a.txt"}, r"a\.txt: cannot tell .* one of \.csv, \.tsv, \.jsonl, \.parquet"),
        (
            {"reviews.csv": "reviews,stars\na,1\n"},
            {},
            r"reviews\.csv: no column 'review' for user_tasks\.my_reviews\.columns\.text; "
            r"did you mean 'reviews'\? It has reviews, stars",
        ),
        ({"reviews.csv": "review,stars,stars\na,1,1\n"}, {}, r"two columns 'stars' for user_tasks\.my_reviews"),
        (
            {"reviews.csv": "review,stars\na,1\n\nb,neutral\n"},
            {},
            r"reviews\.csv, row 1 \(the first is 0\): label 'neutral' is none of negative, positive",
        ),
        ({"reviews.csv": "review,stars\na,2\n"}, {}, r"row 0 .* label 2 is outside 0\.\.1 \(negative, positive\)"),
        ({"reviews.csv": "review,stars\na,1\n"}, {"labels": [1, 2, 3]}, None),
        ({"reviews.csv": "review,stars\na,0\n"}, {"labels": [1, 2, 3]}, r"row 0 .*label '0' is none of 1, 2, 3"),
        ({"reviews.csv": "review,stars\na,b,1\n"}, {}, r"row 0 .*: has 3 fields, the header 2; put fields"),
        ({"reviews.csv": 'review,stars\n"a "b" c",1\n'}, {}, r"reviews\.csv, row 0 .*: a field in quotes is malformed"),
        (
            {"reviews.csv": "review,stars\n\udce9,1\n"},
            {},
            r"reviews\.csv: byte 13 is not UTF-8; save the file as UTF-8",
        ),
        ({"a.jsonl": '{"review": "a", "stars": 1}\n{\n'}, {"train": "a.jsonl"}, r"a\.jsonl, row 1 .*is not JSON"),
        ({"a.jsonl": "[1]\n"}, {"train": "a.jsonl"}, r"a\.jsonl, row 0 .*expected an object"),
        ({"a.jsonl": '{"review": 5, "stars": 1}\n'}, {"train": "a.jsonl"}, r"row 0 .*text is 5, expected a text"),
        ({"a.parquet": "no"}, {"train": "a.parquet"}, r"a\.parquet: is not a Parquet file"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_line(
    files: dict[str, str],
    entry: Row,
    message: str | None,
    tmp_path: Path,
    tiny_tokenizer_folder: str,
    capsys: pytest.CaptureFixture[str],
):
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8", errors="surrogateescape")
    path = write_yaml(tmp_path, my_reviews=REVIEWS | {"validation": entry.get("train", "reviews.csv")} | entry)
    code = convert(tmp_path / "store", path, tiny_tokenizer_folder, "--workers", "1")
    error = capsys.readouterr().err
    if message is None:
        assert code == 0
        return
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert code == 2 and lines and all(re.search(message, line) for line in lines), error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "miniature"], "argument --source: not allowed with argument --user-tasks"),
        (["--tasks", "rte"], "my_tasks.yaml: describes no task rte (it has my_reviews)"),
        (["--tasks", "my_review"], "unknown task 'my_review': did you mean 'my_reviews'?"),
    ],
)
def test_a_command_that_asks_for_something_else_is_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    tiny_tokenizer_folder: str,
    capsys: pytest.CaptureFixture[str],
):
    write_rows(tmp_path / "reviews.csv", ROWS)
    try:
        code = convert(tmp_path / "store", write_yaml(tmp_path, my_reviews=REVIEWS), tiny_tokenizer_folder, *arguments)
    except SystemExit as stop:
        code = stop.code
    assert code == 2 and message in capsys.readouterr().err


def test_a_run_without_its_data_says_how_to_convert_it(tmp_path: Path, tiny_tokenizer_folder: str):
    load_user_tasks(write_yaml(tmp_path, my_reviews=REVIEWS))
    own = r"python -m data_prep \S+ --tokenizer \S+ --user-tasks <YAML> --tasks my_reviews"
    with pytest.raises(StoreError, match=rf"--tasks rte,cb && {own}$"):
        open_store(
            f"{tmp_path}/none", load_tokenizer(tiny_tokenizer_folder), ["rte", "my_reviews", "cb"], "train", "cache"
        )


def test_too_many_unusable_rows_are_to_be_taken_out(
    tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
):
    write_rows(tmp_path / "reviews.csv", [row | {"stars": ""} if n % 9 == 0 else row for n, row in enumerate(ROWS)])
    path = write_yaml(tmp_path, my_reviews=REVIEWS | {"validation": "reviews.csv"})
    assert convert(tmp_path / "store", path, tiny_tokenizer_folder, "--workers", "1") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "(no gold label: 9)" in error and "or take those rows out of the file" in error


def test_open_tags_that_contradict_their_words_name_the_row(tmp_path: Path, tiny_tokenizer_folder: str):
    write_rows(tmp_path / "a.csv", [{"w": "a b", "t": "X Y"}, {"w": "a b", "t": "X"}])
    entry = {"family": "tagging", "train": "a.csv", "validation": "a.csv", "columns": {"words": "w", "tags": "t"}}
    source = parse_source(f"user:{write_yaml(tmp_path, mine=entry)}")
    with pytest.raises(InvalidData, match=r"a\.csv, row 1 \(the first is 0\): 2 words but 1 tags"):
        read_examples(source, "mine")


@pytest.mark.parametrize(
    ("score", "message"),
    [
        ("4.5", r"row 1 .*: task mine: score 4\.5 is outside 0\.\.4"),
        ("nan", "score nan is outside"),
        ("x", "'x' is no n"),
    ],
)
def test_scores_are_numbers_within_the_range_that_was_said(score: str, message: str, tmp_path: Path):
    write_rows(tmp_path / "a.csv", [{"a": "one", "s": "4"}, {"a": "two", "s": score}])
    entry = {"family": "regression", "train": "a.csv", "columns": {"text": "a", "score": "s"}, "score_range": [0, 4]}
    source = parse_source(f"user:{write_yaml(tmp_path, mine=entry)}")
    with pytest.raises(InvalidData, match=message):
        read_examples(source, "mine")


def test_the_documentations_example_works_as_written(
    tmp_path: Path, tiny_tokenizer_folder: str, monkeypatch: pytest.MonkeyPatch
):
    """But for the backbone, the length of the runs, and that the same rows serve for both files."""
    text = (ROOT / "docs/add_a_task.md").read_text(encoding="utf-8")
    data, section, commands = (re.search(f"```{kind}\n(.*?)```", text, re.DOTALL) for kind in ("csv", "yaml", "bash"))
    assert data and section and commands
    monkeypatch.chdir(tmp_path)
    for name in ("reviews_train.csv", "reviews_dev.csv"):
        Path(name).write_text(data[1])
    Path("my_reviews.yaml").write_text(section[1])

    convert, start, compare, tune = map(shlex.split, commands[1].replace("\\\n", " ").splitlines())
    assert convert[:3] == ["python", "-m", "data_prep"] and convert[-2:] == ["--tokenizer", "roberta-base"]
    assert cli.main([*convert[3:-1], tiny_tokenizer_folder, "--workers", "1"]) == 0
    assert start[:2] == ["composer", "recipe/train.py"]
    tiny = json.dumps({"config": TINY["roberta"], "tokenizer": tiny_tokenizer_folder, "name": ""})
    overrides = [f"backbone={tiny}", "max_duration=2ep"]
    folder = train(load_config(start[2], [*overrides, "logging.progress_bar=false", "logging.tensorboard=false"])).path

    catalogue._registered.clear()  # as in another process: the run's folder says what the task is
    assert compare[:3] == ["make", "eval", f"RUN={folder}"] and compare[3].startswith("ARGS=")
    arguments = [*shlex.split(compare[3].removeprefix("ARGS=")), f"run={folder}"]
    config = load_protocol_config(ROOT / "yamls/eval/paper.yaml", arguments)
    short = ["max_duration=1ba", "logging.progress_bar=false"]
    names = {"runs": str(tmp_path / "trials"), "run_name": "trial"}
    start = exported_start(str(folder))
    trial = finetune_config(config, "my_reviews", start, 1.0, hyperparameters(config.search)[0], seed=1, **names)
    Path("trial.yaml").write_text(save_config(trial))
    catalogue._registered.clear()  # as in the trial's own process
    result = finetune(load_finetune_config("trial.yaml", short))
    assert (result.task, result.examples, config.name) == ("my_reviews", 4, "my_reviews")

    catalogue._registered.clear()
    assert tune[:2] == ["composer", "recipe/finetune.py"]
    tuned = finetune(load_finetune_config(ROOT / tune[2], [*tune[3:], *short, "logging.tensorboard=false"]))
    assert (tuned.task, tuned.examples, tuned.start) == ("my_reviews", 4, str(folder))

    catalogue._registered.clear()  # as in another process: the checkpoint alone says what the task is
    Path("reviews_train.csv").unlink()
    export(folder / "checkpoints" / BEST, tmp_path / "exported")
    (head,) = json.loads((tmp_path / "exported" / "heads.json").read_text())["tasks"]
    assert (head["key"], head["labels"]) == ("my_reviews", ["negative", "positive"])
    catalogue._registered.clear()
    score_run(folder, str(folder / "checkpoints" / BEST))
    (result,) = load_results(folder / "results.json")
    assert (result.task, result.examples) == ("my_reviews", 4)
    assert list(result.metrics) == ["accuracy", "macro_f1"] and result.baseline["accuracy"] == 0.5
