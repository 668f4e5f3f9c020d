"""A user's own tasks: what YAML may say about them, and how they stand beside the catalogue's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from recipe.config import load_config, load_user_tasks
from recipe.tasks import CATALOGUE, Family, UnknownTask, catalogue, get_task
from recipe.tasks.catalogue import known_tasks
from recipe.tasks.task import Search
from recipe.tasks.user import FIELDS
from recipe.yaml_keys import ConfigError, save_config

pytestmark = pytest.mark.usefixtures("nothing_registered")

REVIEWS = {
    "family": "classification",
    "train": "reviews.csv",
    "columns": {"text": "review", "label": "stars"},
    "labels": ["negative", "positive"],
}
CHOICES = {"family": "commonsense", "train": "a.csv", "labels": [], "columns": {"context": "q", "label": "right"}}


def write(folder: Path, user_tasks: dict[str, Any], **run: Any) -> Path:
    path = folder / "tasks.yaml"
    path.write_text(yaml.safe_dump({"user_tasks": user_tasks, **run}))
    return path


def test_an_entry_becomes_a_task_like_the_catalogues(tmp_path: Path):
    load_user_tasks(write(tmp_path, {"my_reviews": REVIEWS | {"validation": "dev.csv", "licence": "ours"}}))
    task = get_task("my_reviews")
    assert (task.family, task.labels, task.metrics) == (Family.CLASSIFICATION, ("negative", "positive"), ("accuracy",))
    assert (task.train_split, task.evaluation_splits, task.origin.licence) == ("train", ("validation",), "ours")
    assert list(known_tasks()) == [*CATALOGUE, "my_reviews"] and "my_reviews" not in CATALOGUE


def test_without_a_validation_file_a_part_of_the_training_file_is_set_aside(tmp_path: Path):
    load_user_tasks(write(tmp_path, {"my_reviews": REVIEWS}))
    task = get_task("my_reviews")
    assert (task.train_split, task.evaluation_splits) == ("train#train", ("train#validation",))


def test_choices_in_columns_of_their_own_fix_their_number(tmp_path: Path):
    columns = CHOICES["columns"]
    several = CHOICES | {"columns": columns | {"choices": ["a", "b", "c"]}}
    one = CHOICES | {"columns": columns | {"choices": "options"}}
    load_user_tasks(write(tmp_path, {"several": several, "one": one}))
    assert (get_task("several").choices, get_task("one").choices) == (3, None)


def test_questions_of_ones_own_may_have_no_answer_unless_it_is_said_that_they_all_have_one(tmp_path: Path):
    mine = {"family": "mrc", "train": "a.csv", "columns": {"context": "c", "question": "q", "answers": "a"}}
    load_user_tasks(write(tmp_path, {"mine": mine, "sure": mine | {"unanswerable": False}, "my_reviews": REVIEWS}))
    assert [get_task(key).has_unanswerable for key in ("mine", "sure", "my_reviews")] == [True, False, False]


SUMMARIES = {"family": "summarization", "train": "a.csv", "columns": {"document": "d", "summary": "s"}}


def test_summaries_of_ones_own_are_searched_for_as_the_entry_says(tmp_path: Path):
    given = {"beams": 8, "length_penalty": 0.8, "max_length": 256}
    load_user_tasks(write(tmp_path, {"plain": SUMMARIES, "own": SUMMARIES | {"search": given}}))
    assert get_task("plain").search == Search(beams=4, length_penalty=1.0, no_repeat_ngram=3, max_length=128)
    assert get_task("own").search == Search(8, 0.8, no_repeat_ngram=3, max_length=256)


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({"beams": 0}, r"user_tasks\.mine\.search\.beams: 0 is none; 1 is greedy"),
        (
            {"min_length": 200},
            r"user_tasks\.mine\.search: summaries of 200 to 128 tokens .* set min_length",
        ),
        ({"beam": 3}, r"unknown key user_tasks\.mine\.search\.beam: did you mean user_tasks\.mine\.search\.beams\?"),
    ],
)
def test_a_search_that_cannot_be_names_its_key(search: dict[str, int], message: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=message):
        load_user_tasks(write(tmp_path, {"mine": SUMMARIES | {"search": search}}))


@pytest.mark.parametrize("family", [family.value for family in FIELDS])
def test_the_default_metrics_are_those_of_the_familys_other_tasks(family: str, tmp_path: Path):
    columns = {name: "column" for name in FIELDS[Family(family)].required}
    labels = ["a", "b"] if family in ("classification", "tagging") else []
    load_user_tasks(
        write(tmp_path, {"mine": {"family": family, "train": "a.csv", "columns": columns, "labels": labels}})
    )
    assert get_task("mine").metrics in {task.metrics for task in CATALOGUE.values() if task.family.value == family}


def test_a_run_knows_its_tasks_again_from_its_saved_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a checkpoint holds it; the files need not be there."""
    run = {"run_name": "x", "backbone": {"name": "roberta-base"}, "data": {"store": "s"}, "tasks": ["my_stars", "rte"]}
    path = write(tmp_path, {"my_stars": REVIEWS | {"labels": [1, 2, "no"], "metrics": ["macro_f1"]}}, **run)
    config = load_config(path)
    task = get_task("my_stars")
    monkeypatch.setattr(catalogue, "_registered", {})
    with pytest.raises(UnknownTask, match=r"unknown task 'my_stars': .*describe one of your own in user_tasks"):
        get_task("my_stars")
    saved = tmp_path / "config.yaml"
    saved.write_text(save_config(config))
    assert load_config(saved) == config
    assert get_task("my_stars").labels == task.labels == ("1", "2", "no")
    assert get_task("my_stars").metrics == ("macro_f1",)


def test_the_same_task_may_come_again_from_another_file_but_not_as_another_problem(tmp_path: Path):
    load_user_tasks(write(tmp_path, {"my_reviews": REVIEWS}))
    load_user_tasks(write(tmp_path, {"my_reviews": REVIEWS | {"train": "moved.csv", "validation": "dev.csv"}}))
    assert get_task("my_reviews").evaluation_splits == ("validation",)
    other = REVIEWS | {"labels": ["positive", "negative"]}
    with pytest.raises(
        ConfigError, match=r"'my_reviews' is defined twice, with labels .*: give one of them another key"
    ):
        load_user_tasks(write(tmp_path, {"my_reviews": other}))


@pytest.mark.parametrize(
    ("key", "entry", "message"),
    [
        ("rte", REVIEWS, r"task 'rte' is the catalogue's: give yours another key"),
        ("mrc", REVIEWS, r"user_tasks\.mrc: 'mrc' has a meaning of its own"),
        ("update", REVIEWS, r"'update' has a meaning of its own; choose another key, such as my_update"),
        ("My-Task", REVIEWS, r"'My-Task' is no key for a task; use lower-case letters"),
        ("t", {}, r"user_tasks\.t\.family: .*missing"),
        ("t", REVIEWS | {"colums": {}}, r"unknown key user_tasks\.t\.colums: did you mean user_tasks\.t\.columns\?"),
        ("t", 3, r"user_tasks\.t must hold keys, not 3"),
        ("t", REVIEWS | {"family": "clasification"}, r"t\.family: .* is no family; did you mean classification\?"),
        ("t", REVIEWS | {"columns": {"txt": "a", "label": "b"}}, r"t\.columns: unknown field 'txt'; did you mean text"),
        ("t", REVIEWS | {"columns": {"text": "a"}}, r"t\.columns: which column holds label\?"),
        ("t", REVIEWS | {"columns": {"text": ["a"], "label": "b"}}, r"t\.columns\.text: \['a'\] is no column's name"),
        ("t", REVIEWS | {"labels": ["a"]}, r"t\.labels: name at least two classes"),
        ("t", REVIEWS | {"labels": ["a", "a"]}, r"t\.labels: a name stands there twice"),
        ("t", REVIEWS | {"labels": [True, False]}, r"t\.labels: .* YAML reads yes, no, on and off as booleans"),
        ("t", REVIEWS | {"metrics": ["acc"]}, r"t\.metrics: .*no metric 'acc' .*\(known: accuracy, "),
        ("t", REVIEWS | {"metrics": ["f1"], "labels": ["a", "b", "c"]}, r"t\.metrics: .*f1 is for 2 labels, not 3"),
        ("t", CHOICES | {"columns": {**CHOICES["columns"], "choices": ["a"]}}, r"choices: name at least two columns"),
        ("t", CHOICES | {"columns": {**CHOICES["columns"], "choices": "a"}, "labels": ["a", "b"]}, r"has no classes"),
    ],
)
def test_a_wrong_entry_is_named_with_the_fix(key: str, entry: Any, message: str, tmp_path: Path):
    with pytest.raises(ConfigError, match=r"tasks\.yaml: .*" + message):
        load_user_tasks(write(tmp_path, {key: entry}))
    assert list(known_tasks()) == list(CATALOGUE)


def test_a_yaml_without_tasks_says_what_to_write(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"tasks\.yaml has no user_tasks: describe your data in that section"):
        load_user_tasks(write(tmp_path, {}))
    with pytest.raises(ConfigError, match=r"no configuration at nowhere\.yaml"):
        load_user_tasks("nowhere.yaml")


def test_a_users_regression_is_for_fine_tuning_only_too(tmp_path: Path):
    entry = {"family": "regression", "train": "a.csv", "columns": {"text": "a", "score": "b"}}
    run = {"run_name": "x", "backbone": {"name": "roberta-base"}, "data": {"store": "s"}, "tasks": ["my_scores"]}
    with pytest.raises(ConfigError, match=r"my_scores is a regression task.*set algorithms\.log_n_scaling=false"):
        load_config(write(tmp_path, {"my_scores": entry}, **run))
