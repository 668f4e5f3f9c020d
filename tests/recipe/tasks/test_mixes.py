"""Mixes: one task that learns from several tasks' shards."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from data_prep.adapters import NoAdapter, get_adapter
from recipe.data.store import StoreError, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.finetune import finetune
from recipe.protocol.finetune_config import load_finetune_config
from recipe.tasks import get_task
from recipe.tasks.mixes import MIXES
from tests.conftest import convert_miniature
from tests.tiny_run import save_tiny

PARTS = ("snli", "mnli", "fever_nli", "anli_r1")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: str) -> str:
    folder = str(tmp_path_factory.mktemp("mixes"))
    convert_miniature(folder, tiny_tokenizer_folder, (*PARTS, "anli"), rows=30)
    return folder


@pytest.mark.parametrize("mix", MIXES)
def test_all_that_a_mix_reads_has_its_labels(mix: str):
    task = get_task(mix)
    for split in ("train", "validation"):
        assert {get_task(key).labels for key in task.streams(split)} == {task.labels}
    assert get_task(*task.streams("validation")).grouped == task.grouped
    rows = [get_task(key).origin.known_rows(get_task(key).train_split) for key in task.streams("train")]
    assert task.origin.known_rows(task.train_split) == sum(filter(None, rows)) and None not in rows


def test_a_mix_is_its_parts_one_after_another(store: str, tiny_tokenizer_folder: str, tmp_path: Path):
    tokenizer, cache = load_tokenizer(tiny_tokenizer_folder), str(tmp_path)
    mixed = open_store(store, tokenizer, ["anli_from_smf_a1"], "train", cache)
    parts = open_store(store, tokenizer, PARTS, "train", cache)
    assert mixed.task_sizes == {"anli_from_smf_a1": len(parts)} and not mixed.task_of.any()
    np.testing.assert_array_equal(mixed.lengths, parts.lengths)
    for index in range(len(parts)):
        assert mixed[index].keys() == parts[index].keys()
        for name, value in parts[index].items():
            np.testing.assert_array_equal(mixed[index][name], value)
    whole = open_store(store, tokenizer, ["anli"], "validation", cache)
    evaluated = open_store(store, tokenizer, ["anli_from_smf_a1"], "validation", cache)
    assert [evaluated[n]["reference"] for n in range(len(whole))] == [whole[n]["reference"] for n in range(len(whole))]


def test_a_mix_and_a_part_of_it_can_be_learned_at_once(store: str, tiny_tokenizer_folder: str, tmp_path: Path):
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    both = open_store(store, tokenizer, ["snli", "anli_from_sm"], "train", str(tmp_path))
    sizes = [manifest.written for manifests in both.manifests for manifest in manifests]
    assert Counter(both.task_of.tolist()) == {0: sizes[0], 1: sizes[1] + sizes[2]} and sizes[0] == sizes[1]
    np.testing.assert_array_equal(both[0]["tokens"], both[sizes[0]]["tokens"])


def test_a_part_that_is_missing_is_named_with_the_command(store: str, tiny_tokenizer_folder: str, tmp_path: Path):
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    with pytest.raises(StoreError, match=r"no train split of anli_r2 \(.*--tasks anli_r2"):
        open_store(store, tokenizer, ["anli_from_smf_a1_a2"], "train", str(tmp_path))
    with pytest.raises(NoAdapter, match=r"no data of its own.*--tasks snli,mnli,anli$"):
        get_adapter("anli_from_sm")


def test_fine_tuning_on_a_mix_is_scored_on_every_round(store: str, tiny_tokenizer_folder: str, tmp_path: Path):
    config = {
        "run_name": "mix",
        "runs": str(tmp_path),
        "task": "anli_from_sm",
        "start": str(save_tiny(tmp_path / "start", tiny_tokenizer_folder)),
        "data": {"store": store, "step_examples": 16, "token_budget": 2048, "workers": 0},
        "max_duration": "1ep",
        "logging": {"tensorboard": False, "progress_bar": False},
    }
    path = tmp_path / "mix.yaml"
    path.write_text(yaml.safe_dump(config))
    result = finetune(load_finetune_config(path))
    sizes = [
        len(open_store(store, load_tokenizer(tiny_tokenizer_folder), [key], "train", str(tmp_path / "cache")))
        for key in ("snli", "mnli")
    ]
    assert result.trained_examples == sum(sizes)
    assert {"accuracy", "accuracy_r1", "accuracy_r2", "accuracy_r3"} == set(result.scores)
