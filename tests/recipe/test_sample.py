"""The sample that stands for a large validation split scores about as the whole does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.data.loader import build_evaluation_data, dataset_of
from recipe.data.sample import sample_groups, sample_split
from recipe.data.store import ShardStore, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import get_task
from recipe.tasks.metrics import build_metrics, scores_whole_groups
from tests.conftest import convert_miniature


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.data())
def test_a_sample_of_groups_is_whole_large_enough_and_no_larger_than_it_must_be(groups: list[str], data: st.DataObject):
    most = data.draw(st.integers(1, len(groups)))
    taken = sample_groups(groups, most)
    names = {groups[i] for i in taken}
    assert taken.tolist() == [i for i, name in enumerate(groups) if name in names]
    assert len(taken) >= most
    assert any(len(taken) - groups.count(name) < most for name in names)
    assert taken.tolist() == sample_groups(groups, most).tolist()


def test_multircs_exact_match_on_a_sample_is_about_that_of_all_answers():
    """Of 800 questions of five answers, each right with p = 0.8: 0.8^5 = 0.33; of single answers it was about 0.8."""
    rng = np.random.default_rng(3)
    groups = np.repeat([f"{n // 5}-{n % 5}" for n in range(800)], 5)
    right = rng.random(len(groups)) < 0.8
    scores = []
    for index in (np.arange(len(groups)), sample_groups(list(groups), 500)):
        metric = build_metrics(get_task("multirc"))["exact_match"]
        metric.update(right[index].astype(int).tolist(), [(1, str(groups[i])) for i in index])
        scores.append(float(metric.compute()))
    assert scores[0] == pytest.approx(0.33, abs=0.02) and scores[1] == pytest.approx(scores[0], abs=0.06)


@pytest.fixture(scope="module")
def store(tiny_tokenizer_folder: str, tmp_path_factory: pytest.TempPathFactory) -> ShardStore:
    folder, cache = (str(tmp_path_factory.mktemp(name)) for name in ("store", "cache"))
    convert_miniature(folder, tiny_tokenizer_folder, ["multirc", "mnli"], rows=60)
    return open_store(folder, load_tokenizer(tiny_tokenizer_folder), ["multirc", "mnli"], "validation", cache)


def test_questions_are_sampled_whole_and_single_examples_where_groups_are_parts_of_a_split(store: ShardStore):
    assert [scores_whole_groups(get_task(key)) for key in ("multirc", "mnli", "anli", "squad")] == [True] + [False] * 3
    (answers, pairs) = (np.flatnonzero(store.task_of == task) for task in (0, 1))
    groups = [store[int(i)]["reference"]["group"] for i in answers]
    taken = sample_split(store, 0, 11)
    assert 11 <= len(taken) < len(answers)
    names = {groups[i - answers[0]] for i in taken}
    assert len(taken) == sum(group in names for group in groups)
    assert len(sample_split(store, 1, 11)) == 11 and set(sample_split(store, 1, 11)) < set(pairs)
    assert sample_split(store, 1, None).tolist() == pairs.tolist()


def test_evaluation_reads_the_sample(store: ShardStore, tiny_tokenizer_folder: str):
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    data = build_evaluation_data(store, tokenizer, token_budget=2048, encoder_decoder=False, max_examples=11)
    for number, (task, spec) in enumerate(data.items()):
        assert store.tasks[number] == task and dataset_of(spec).store is store
        read = sorted(int(i) for batch in spec.dataloader for microbatch in batch for i in microbatch["ids"])
        assert read == sample_split(store, number, 11).tolist()
