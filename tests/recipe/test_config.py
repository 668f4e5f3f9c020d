"""The door: every shipped YAML passes, everything wrong stops with the key's name and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from recipe.config import Strategy, load_config
from recipe.tasks import get_task
from recipe.tasks.catalogue import PREFINETUNE_TASKS
from recipe.yaml_keys import ConfigError, save_config

FOLDER = Path(__file__).parents[2] / "yamls"
YAMLS = sorted([*FOLDER.glob("*.yaml"), *FOLDER.glob("tartan/*.yaml")])  # the others: test_protocol.py


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.stem)
def test_every_shipped_yaml_loads_and_survives_saving(path, tmp_path):
    config = load_config(path)
    saved = tmp_path / "config.yaml"
    saved.write_text(save_config(config))
    assert load_config(saved) == config


def test_yamls_for_all_of_an_encoders_tasks_name_them_all():
    tasks = {key for key in PREFINETUNE_TASKS if not get_task(key).needs_decoder}
    encoders = ("demo", "roberta_base", "roberta_large", "modernbert_base", "deberta_v3_base", "which_help_rte")
    found = {path.stem: set(load_config(path).tasks) for path in YAMLS if path.stem in encoders}
    assert found == dict.fromkeys(encoders, tasks)


def test_overrides_win_over_the_file():
    config = load_config(YAMLS[0], ["optimizer.lr=3e-4", "data.strategy=heterogeneous", "tasks=[cola,rte]"])
    assert (config.optimizer.lr, config.data.strategy, config.tasks) == (3e-4, Strategy.HETEROGENEOUS, ["cola", "rte"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.token_buget=5", r"unknown key data.token_buget: did you mean data.token_budget\?"),
        ("optimiser.lr=1", r"unknown key optimiser: did you mean optimizer\?"),
        ("optimizer.lr=fast", r"optimizer.lr.*'fast'"),
        ("data.step_examples=1.5", r"data.step_examples.*1.5"),
        ("data.strategy=mixd", r"data.strategy.*mixd"),
        ("tasks=[cola,rtee]", r"unknown task 'rtee': did you mean 'rte'\?"),
        ("tasks=[cola,cola]", r"cola twice"),
        ("tasks=[]", r"tasks is empty"),
        ("tasks=[cola,stsb]", r"stsb is a regression task, for fine-tuning only: make it the run's one task"),
        ("tasks=[ptb_parsing,cola]", r"ptb_parsing is a tagging task, for fine-tuning only"),
        ("tasks=[stsb]", r"stsb is a regression task.*set algorithms.log_n_scaling=false"),
        ("data.token_budget=0", r"data.token_budget=0 must be positive"),
        ("data.temperature=0", r"data.temperature=0.0 must be positive"),
        ("data.locality=-1", r"data.locality=-1 must be positive"),
        ("data.weighting=task", r"data.weighting.*task"),
        ("shard_over=1", r"shard_over=1 shards nothing: set parallelism=ddp"),
        ("sharded_checkpoints=true", r"sharded_checkpoints is of sharded models alone: set parallelism=fsdp2"),
        ("algorithms.balancing=dwaa", r"algorithms.balancing.*dwaa"),
        ("algorithms.balancing=dataset_size", r"set data.weighting=tasks"),
        ("max_duration=3days", r"max_duration='3days' is no duration"),
        ("backbone.name=x", r"either backbone.name .* or backbone.config"),
        ("seed", r"'seed' has no '='"),
    ],
)
def test_a_wrong_value_is_named_with_the_fix(override, message):
    demo = next(path for path in YAMLS if path.stem == "demo")
    with pytest.raises(ConfigError, match=message):
        load_config(demo, [override])


def test_a_run_of_one_task_may_be_regression_or_tagging():
    demo = next(path for path in YAMLS if path.stem == "demo")
    assert load_config(demo, ["tasks=[stsb]", "algorithms.log_n_scaling=false"]).tasks == ["stsb"]
    assert load_config(demo, ["tasks=[ptb_parsing]"]).tasks == ["ptb_parsing"]
    with pytest.raises(ConfigError, match=r"spectral_norm=true .*none of the tasks"):
        load_config(demo, ["tasks=[ptb_parsing]", "algorithms.r3f.spectral_norm=true"])


def test_balancing_within_steps_of_one_task_is_refused():
    demo = next(path for path in YAMLS if path.stem == "demo")
    with pytest.raises(ConfigError, match=r"data.strategy=batch_homogeneous has one: use data.strategy=mixed"):
        load_config(demo, ["algorithms.balancing=dwa", "data.strategy=batch_homogeneous"])


def test_a_missing_mandatory_key_is_named(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("run_name: x\nbackbone: {name: roberta-base}\ntasks: [cola]\n")
    with pytest.raises(ConfigError, match=r"data.store"):
        load_config(path)


def test_a_missing_file_is_named():
    with pytest.raises(ConfigError, match=r"no configuration at nowhere.yaml"):
        load_config("nowhere.yaml")
