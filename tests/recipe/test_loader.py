"""The loader: it follows the plan, resumes inside an epoch, and hands every example its weight."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.data.batch_plan import PlanError, PlanSettings, Strategy, Weighting
from recipe.data.loader import build_train_data
from recipe.data.microbatch import Batch, count_examples
from recipe.data.store import ShardStore, open_store
from recipe.data.tokenizer import load_tokenizer

TASKS = ["cola", "cb", "copa", "squad"]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_folder: str) -> PreTrainedTokenizerFast:
    return load_tokenizer(tiny_tokenizer_folder)


@pytest.fixture(scope="module")
def store(
    miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> ShardStore:
    return open_store(miniature_store, tokenizer, TASKS, "train", str(tmp_path_factory.mktemp("cache")))


def build(store: ShardStore, tokenizer: PreTrainedTokenizerFast, strategy: Strategy, **options: Any) -> Any:
    settings = PlanSettings(strategy, step_examples=24, token_budget=2048, seed=3, **options)
    data = build_train_data(store, settings, tokenizer, encoder_decoder=False, workers=0)
    return cast(Any, data.dataloader)


def contents(batch: Batch) -> list[tuple[list[list[int]], list[str]]]:
    """All that tells one microbatch from another."""
    return [(m["input_ids"].tolist(), [s["task"] for s in m["segments"]]) for m in batch]


@pytest.mark.parametrize("options", [{}, {"locality": 1}, {"temperature": 2.0}, {"max_steps_per_epoch": 6}])
@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_loader_resumed_inside_an_epoch_yields_the_rest_of_it(strategy, options, store, tokenizer):
    whole = list(build(store, tokenizer, strategy, **options))
    assert len(whole) == len(build(store, tokenizer, strategy, **options)) > 3
    done = sum(map(count_examples, whole[:3]))
    state = build(store, tokenizer, strategy, **options).dataset.state_dict(done, True)
    resumed = build(store, tokenizer, strategy, **options)
    resumed.dataset.load_state_dict(state)
    assert [contents(batch) for batch in resumed] == [contents(batch) for batch in whole[3:]]


def test_resuming_with_another_strategy_is_refused(store, tokenizer):
    state = build(store, tokenizer, Strategy.MIXED).dataset.state_dict(24, True)
    with pytest.raises(ValueError, match=r"data\.strategy was 'mixed' .* is 'batch_homogeneous' now"):
        build(store, tokenizer, Strategy.BATCH_HOMOGENEOUS).dataset.load_state_dict(state)


@pytest.mark.parametrize("strategy", [Strategy.MIXED, Strategy.HETEROGENEOUS])
def test_weights_are_each_examples_own_and_make_the_tasks_of_a_step_equal(strategy, store, tokenizer):
    for batch in build(store, tokenizer, strategy, weighting=Weighting.TASKS):
        sums: dict[str, float] = defaultdict(float)
        for microbatch in batch:
            assert len(microbatch["weights"]) == count_examples(microbatch)
            for segment in microbatch["segments"]:
                own = microbatch["weights"][slice(*segment["examples"])]
                assert len(own.unique()) == 1
                sums[segment["task"]] += float(own.sum())
        assert np.allclose(list(sums.values()), count_examples(batch) / len(sums), rtol=1e-5)


def test_examples_have_no_weights_by_default(store, tokenizer):
    assert all("weights" not in m for batch in build(store, tokenizer, Strategy.MIXED) for m in batch)


def test_an_epoch_that_the_ranks_cannot_share_stops_before_its_first_step(store, tokenizer):
    sampler = build(store, tokenizer, Strategy.MIXED).batch_sampler
    sampler.num_replicas = 512
    sampler.set_epoch(1)
    with pytest.raises(PlanError, match="too few for 512 ranks"):
        next(iter(sampler))


def test_shards_are_counted_as_the_store_has_them(miniature_store: str, store):
    assert store.shard_sizes.sum() == len(store)
    files = [path for task in TASKS for path in Path(miniature_store).glob(f"*/{task}/train/*.zstd")]
    assert store.shard_bytes.tolist() == [path.stat().st_size for path in files]
