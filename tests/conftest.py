"""What many tests need: a tokenizer and a shard store, made here from the miniature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from recipe.tasks import catalogue, get_task, source_splits
from tests.s3_server import bucket as bucket
from tests.tiny_run import ENCODER_TASKS, MINIATURE_TASKS, TINY


def convert_miniature(store: str, tokenizer_folder: str, tasks: Sequence[str], rows: int) -> None:
    """Convert some rows of each task's two splits in this process."""
    from data_prep.convert import Settings, plan_units
    from data_prep.encode import Limits
    from data_prep.workers import convert_units
    from recipe.data.tokenizer import load_tokenizer

    settings = Settings(store, "miniature", Limits(max_length=128, max_target_length=32, stride=32), limit=rows)
    tokenizer = load_tokenizer(tokenizer_folder)
    units = plan_units(tasks, ("train", "validation"), settings, tokenizer)
    errors = convert_units(units, settings, tokenizer, 1, lambda _: None, lambda *_: None)
    assert not errors, errors


def write_miniature(folder: Path, tasks: Sequence[str], train: int, evaluation: int) -> None:
    """So many raw rows of each task's two splits as the Parquet files of a local source."""
    from data_prep.miniature import generate

    for key in tasks:
        (folder / key).mkdir(parents=True)
        for split in source_splits(get_task(key).evaluation_splits[0]):
            pq.write_table(generate(key, split, evaluation), folder / key / f"{split}.parquet")
        pq.write_table(generate(key, "train", train), folder / key / "train.parquet")


def withhold(rows: pa.Table) -> pa.Table:
    """The rows as the Hub has those of a benchmark's test split: label -1, no answers."""
    for name, value in (("label", -1), ("answers", [])):
        if name in rows.column_names:
            field = rows.schema.field(name)
            rows = rows.set_column(rows.column_names.index(name), field, pa.array([value] * len(rows), field.type))
    return rows


def write_benchmark(folder: Path, tasks: Sequence[str], rows: int) -> None:
    """So many raw rows of each split in the Hub's layout; the test split is that for validation, without labels."""
    from data_prep.miniature import generate

    for key in tasks:
        (folder / key).mkdir(parents=True)
        pq.write_table(generate(key, "train", rows), folder / key / "train.parquet")
        evaluation, test = get_task(key).evaluation_splits[0], get_task(key).test_split
        for own, hidden in zip(source_splits(evaluation), source_splits(test or ""), strict=True):
            table = generate(key, own, rows)
            pq.write_table(table, folder / key / f"{own}.parquet")
            pq.write_table(withhold(table), folder / key / f"{hidden}.parquet")


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def tiny_tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A RoBERTa-style tokenizer of about a thousand tokens, as ``AutoTokenizer`` loads it."""
    from data_prep import train_tokenizer

    folder = str(tmp_path_factory.mktemp("tokenizer"))
    tasks = ",".join(MINIATURE_TASKS)
    assert train_tokenizer.main([folder, "--source", "miniature", "--vocab-size", "1000", "--tasks", tasks]) == 0
    return folder


@pytest.fixture(scope="session")
def miniature_store(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: str) -> str:
    """A shard store of ``MINIATURE_TASKS``: both splits, 64 examples or fewer each, rows of up to 128 tokens."""
    store = str(tmp_path_factory.mktemp("store"))
    convert_miniature(store, tiny_tokenizer_folder, MINIATURE_TASKS, rows=64)
    return store


@pytest.fixture(scope="session")
def raw_data() -> Path:
    """The folder of real datasets; tests that need it are skipped without it."""
    folder = Path(os.environ.get("PREFINETUNE_DATA", Path(__file__).parents[1] / "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip("no real data: set PREFINETUNE_DATA to a folder of <task>/<split>.parquet")
    return folder


@pytest.fixture
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tasks but the catalogue's in this test; those that it registers are gone afterwards."""
    monkeypatch.setattr(catalogue, "_registered", {})


@pytest.fixture
def run_yaml(tmp_path: Path, miniature_store: str, tiny_tokenizer_folder: str) -> Path:
    """A tiny encoder on the miniature: a few steps of a second each."""
    config = {
        "run_name": "tiny",
        "runs": str(tmp_path / "runs"),
        "backbone": {"config": TINY["roberta"], "tokenizer": tiny_tokenizer_folder},
        "tasks": ENCODER_TASKS,
        "data": {"store": miniature_store, "step_examples": 48, "token_budget": 2048, "max_validation_examples": 8},
        "optimizer": {"lr": 1e-3},
        "logging": {"tensorboard": False, "progress_bar": False, "interval": 1},
    }
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
