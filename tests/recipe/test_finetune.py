"""Fine-tuning one task: where it starts, which head it goes on with, what it leaves behind."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from data_prep.__main__ import main as convert
from data_prep.miniature import generate
from recipe.checkpoint import BEST, CheckpointError, read_checkpoint
from recipe.data.collate import collate
from recipe.data.store import StoreError, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.export import exported_start
from recipe.finetune import finetune, reuses_head
from recipe.models import HEADS_JSON, HEADS_WEIGHTS, describe_heads, restore_model
from recipe.protocol.finetune_config import FinetuneConfig, ReuseHead, load_finetune_config
from recipe.protocol.result import TEST_PREDICTIONS, load_predictions, load_result
from recipe.report import load_results
from recipe.run_folder import RunFolderError
from recipe.score import score_run
from recipe.tasks import get_task
from recipe.tasks.metrics import build_metrics
from recipe.yaml_keys import ConfigError, save_config
from tests.tiny_run import train_tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, miniature_store: str, tiny_tokenizer_folder: str) -> Path:
    """The folder of a run of three steps that learned CB and SQuAD."""
    folder = tmp_path_factory.mktemp("prefinetuned")
    data = {"store": miniature_store, "step_examples": 16, "max_validation_examples": 4}
    return train_tiny(folder, tiny_tokenizer_folder, ["cb", "squad"], data, "3ba")


@pytest.fixture
def config(tmp_path: Path, run: Path, miniature_store: str) -> FinetuneConfig:
    """CB from the run, two epochs of it."""
    given = {
        "run_name": "cb",
        "runs": str(tmp_path / "finetune"),
        "task": "cb",
        "start": str(run),
        "data": {"store": miniature_store, "step_examples": 16, "token_budget": 2048},
        "optimizer": {"lr": 1e-3},
        "max_duration": "2ep",
        "logging": {"tensorboard": False, "progress_bar": False},
    }
    path = tmp_path / "cb.yaml"
    path.write_text(yaml.safe_dump(given))
    return load_finetune_config(path)


def test_result_and_predictions_tell_the_same_in_the_split_s_order(config: FinetuneConfig, tmp_path: Path):
    result = finetune(config)
    folder = tmp_path / "finetune" / "cb"
    assert load_result(folder) == result
    predictions = load_predictions(folder)
    for name, metric in build_metrics(get_task("cb")).items():
        metric.update(predictions.predictions, predictions.references)
        assert float(metric.compute()) == pytest.approx(result.scores[name])
    tokenizer = load_tokenizer(exported_start(config.start))
    store = open_store(config.data.store, tokenizer, ["cb"], "validation", str(tmp_path / "cache"))
    assert predictions.references == [store[index]["label"] for index in range(len(store))]
    train_store = open_store(config.data.store, tokenizer, ["cb"], "train", str(tmp_path / "cache"))
    assert result.trained_examples == 2 * len(train_store)
    assert [step for step, _ in result.curve] == [result.steps // 2, result.steps]
    assert result.score == max(score for _, score in result.curve), "the best weights are scored, not the last"


@pytest.fixture(scope="module")
def tested_store(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: str) -> str:
    """CB with a test split of which two rows have no label, COPA with one that has none at all."""
    raw, store = tmp_path_factory.mktemp("raw"), str(tmp_path_factory.mktemp("store"))
    for key, withheld in (("cb", [3, 11]), ("copa", range(20))):
        rows = generate(key, "validation", 40)
        labels = [-1 if n in withheld else label for n, label in enumerate(rows["label"].to_pylist()[20:])]
        place, field = rows.column_names.index("label"), rows.schema.field("label")
        test = rows[20:].set_column(place, field, pa.array(labels, field.type))
        (raw / key).mkdir()
        for split, table in (("train", generate(key, "train", 48)), ("validation", rows[:20]), ("test", test)):
            pq.write_table(table, raw / key / f"{split}.parquet")
    options = ["--max-length", "128", "--splits", "train,validation,test", "--workers", "1"]
    assert convert([store, "--source", f"local:{raw}", "--tokenizer", tiny_tokenizer_folder, *options]) == 0
    return store


def test_the_test_split_is_scored_with_the_best_weights_and_chooses_nothing(
    config: FinetuneConfig, tested_store: str, tmp_path: Path
):
    config = replace(config, data=replace(config.data, store=tested_store))
    untested = finetune(config)
    folder = tmp_path / "finetune" / "cb"
    older = {name: value for name, value in json.loads((folder / "result.json").read_text()).items()}
    del older["test_scores"], older["test_examples"]
    (folder / "result.json").write_text(json.dumps(older))
    assert load_result(folder) == untested and untested.test_scores is None
    result = finetune(replace(config, score_test=True, keep_weights=False))
    assert replace(result, test_scores=None, test_examples=None) == untested
    assert load_result(folder) == result and not (folder / "checkpoints").exists()

    assert finetune(replace(config, run_name="again", score_test=True)).test_scores == result.test_scores
    checkpoint = read_checkpoint(tmp_path / "finetune" / "again" / "checkpoints" / BEST)
    model, _, tokenizer = restore_model(checkpoint)
    store = open_store(tested_store, tokenizer, ["cb"], "test", str(tmp_path / "cache"))
    model.eval()
    pad = tokenizer.pad_token_id
    assert isinstance(pad, int)
    predicted, labels = [], [store[index]["label"] for index in range(len(store))]
    with torch.inference_mode():
        for index in range(len(store)):
            alone = collate([(get_task("cb"), store[index])], pad)
            predicted.append(int(model(alone)[0]["logits"].argmax()))
    predictions = load_predictions(folder, TEST_PREDICTIONS)
    assert predictions.predictions == predicted
    assert predictions.references == [None if label == -1 else label for label in labels]
    assert predictions.indices == [store[index]["reference"]["index"] for index in range(len(store))]
    told = [(label, guess) for label, guess in zip(labels, predicted, strict=True) if label != -1]
    assert result.test_examples == len(told) == 18 and result.test_scores is not None
    assert result.test_scores["accuracy"] == pytest.approx(sum(label == guess for label, guess in told) / 18)
    report = score_run(tmp_path / "finetune" / "again", "best", split="test")
    (scored,) = load_results(report.with_name("results.json"))
    assert (scored.metrics, scored.examples, report.parent.name) == (result.test_scores, 18, "test")


def test_test_scores_that_cannot_be_had_stop_a_run_before_it_trains(
    config: FinetuneConfig, tested_store: str, tmp_path: Path
):
    with pytest.raises(StoreError, match=r"no test split of cb .*--splits test --tasks cb"):
        finetune(replace(config, score_test=True))
    hidden = replace(config, task="copa", data=replace(config.data, store=tested_store), score_test=True)
    with pytest.raises(StoreError, match=r"copa/test: has no labels"):
        finetune(hidden)
    assert not (tmp_path / "finetune").exists()
    gone = replace(config, data=replace(config.data, store=tested_store), keep_weights=False)
    finetune(gone)
    with pytest.raises(CheckpointError, match="its weights were not kept, so score_test needs another run"):
        finetune(replace(gone, score_test=True))


@pytest.mark.parametrize("chosen", list(ReuseHead))
def test_whether_to_reuse_the_head_can_be_said_everywhere(chosen: ReuseHead, tmp_path: Path):
    """Though a YAML's yes and no are its words for true and false."""
    path = tmp_path / "finetune.yaml"
    path.write_text("{run_name: run, task: cb, start: roberta-base, data: {store: shards}}")
    config = load_finetune_config(path, [f"reuse_head={chosen.value}"])
    assert config.reuse_head is chosen
    path.write_text(save_config(config))
    assert load_finetune_config(path).reuse_head is chosen
    path.write_text(f"{{run_name: run, task: cb, start: a, data: {{store: b}}, reuse_head: {chosen.value}}}")
    assert load_finetune_config(path).reuse_head is chosen


@pytest.mark.parametrize(
    ("task", "reuse", "reused"),
    [("cb", "auto", True), ("cb", "no", False), ("squad", "auto", True), ("hotpot_qa", "auto", True)],
)
def test_the_start_s_head_is_taken_over_as_the_paper_does(
    config: FinetuneConfig, run: Path, task: str, reuse: str, reused: bool, tmp_path: Path
):
    # So small a step that the weights stay where they began. HotpotQA's head is the one that SQuAD trained.
    frozen = replace(config.optimizer, lr=1e-12, weight_decay=0.0)
    own = replace(config, task=task, reuse_head=ReuseHead(reuse), optimizer=frozen, max_duration="1ba", run_name=task)
    assert finetune(own).reused_head is reused
    weights = read_checkpoint(tmp_path / "finetune" / task / "checkpoints" / BEST).weights
    head = "cb.out_proj.weight" if task == "cb" else "mrc.out_proj.weight"
    began = load_file(Path(exported_start(str(run))) / "heads.safetensors")[head]
    assert torch.allclose(weights[f"heads.{head}"], began, atol=1e-6) is reused


def test_a_large_task_gets_a_new_head_unless_asked_otherwise(config: FinetuneConfig, run: Path, tmp_path: Path):
    # CB's head, as if it had been trained on MNLI, which has as many labels.
    folder = tmp_path / "knows_mnli"
    shutil.copytree(exported_start(str(run)), folder)
    heads = {key.replace("cb.", "mnli."): value for key, value in load_file(folder / HEADS_WEIGHTS).items()}
    save_file(heads, folder / HEADS_WEIGHTS)
    (folder / HEADS_JSON).write_text(json.dumps({"tasks": [{"key": "mnli", "labels": get_task("mnli").labels}]}))
    own = replace(config, task="mnli", start=str(folder), max_duration="1ba")
    assert finetune(replace(own, run_name="auto")).reused_head is False
    assert finetune(replace(own, run_name="yes", reuse_head=ReuseHead.yes)).reused_head is True


def test_a_head_that_is_not_there_cannot_be_reused(config: FinetuneConfig, run: Path):
    with pytest.raises(ConfigError, match=rf"reuse_head=yes: {run} has no head for cola"):
        finetune(replace(config, task="cola", reuse_head=ReuseHead.yes))


@pytest.mark.parametrize(("learned", "there"), [(("xsum", "cb"), True), (("cb",), False)])
def test_a_summarizer_s_head_is_the_decoder_of_a_start_that_learned_to_summarize(
    config: FinetuneConfig, learned: tuple[str, ...], there: bool, tmp_path: Path
):
    save_file({}, tmp_path / HEADS_WEIGHTS)
    described = describe_heads({key: get_task(key).labels for key in learned}, steps=1)
    (tmp_path / HEADS_JSON).write_text(json.dumps(described))
    own = replace(config, task="aeslc", start="bart", reuse_head=ReuseHead.yes)
    if there:
        assert reuses_head(own, str(tmp_path))
    else:
        with pytest.raises(ConfigError, match=r"=yes: bart has learned no summarization task, .*: set reuse_head=auto"):
            reuses_head(own, str(tmp_path))
    with pytest.raises(ConfigError, match="bart has learned no summarization task"):
        reuses_head(own, "facebook/bart-base")


def test_whether_a_task_is_small_is_told_by_its_shards_where_the_catalogue_does_not_know(
    config: FinetuneConfig,
    tiny_tokenizer_folder: str,
    tmp_path: Path,
    nothing_registered: None,
    monkeypatch: pytest.MonkeyPatch,
):
    (tmp_path / "mine.csv").write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40)))
    columns = {"text": "text", "label": "label"}
    mine = {"family": "classification", "train": "mine.csv", "columns": columns, "labels": ["a", "b"]}
    mine |= {"validation": "mine.csv"}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"user_tasks": {"mine": mine}}))
    store = str(tmp_path / "store")
    assert convert([store, "--user-tasks", str(path), "--tokenizer", tiny_tokenizer_folder, "--workers", "1"]) == 0
    start = tmp_path / "start"
    start.mkdir()
    save_file({"mine.out_proj.bias": torch.zeros(2)}, start / HEADS_WEIGHTS)
    (start / HEADS_JSON).write_text(json.dumps(describe_heads({"mine": ("a", "b")}, steps=1)))
    own = replace(config, task="mine", tokenizer=tiny_tokenizer_folder, data=replace(config.data, store=store))
    assert reuses_head(own, str(start))
    monkeypatch.setattr("recipe.finetune.SMALL_TASK", 40)
    assert not reuses_head(own, str(start))


def test_a_fraction_of_the_training_data_is_what_is_seen(config: FinetuneConfig):
    whole = finetune(config).trained_examples
    part = finetune(replace(config, data=replace(config.data, fraction=0.25), run_name="quarter")).trained_examples
    assert part == pytest.approx(whole / 4, abs=1)


def test_training_stops_when_nothing_gets_better(config: FinetuneConfig):
    frozen = replace(config.optimizer, lr=1e-12, weight_decay=0.0)
    result = finetune(replace(config, optimizer=frozen, max_duration="9ep", patience=2))
    assert len(result.curve) == 3, "the first evaluation is the best, two more are no better"
    (Path(config.runs) / config.run_name / "result.json").unlink()  # as if killed after the last checkpoint
    again = finetune(replace(config, optimizer=frozen, max_duration="9ep", patience=2))
    assert (again.steps, again.curve, again.scores) == (result.steps, result.curve, result.scores)


def test_what_is_done_is_not_done_again_and_never_passed_off_as_something_else(config: FinetuneConfig, tmp_path: Path):
    result = finetune(replace(config, keep_weights=False))
    folder = tmp_path / "finetune" / "cb"
    assert not (folder / "checkpoints").exists()
    written = (folder / "result.json").stat().st_mtime_ns
    assert finetune(replace(config, keep_weights=False)) == result
    assert (folder / "result.json").stat().st_mtime_ns == written
    with pytest.raises(RunFolderError, match=r"holds a run with optimizer\.lr=0\.001, now it is 0\.5"):
        finetune(replace(config, optimizer=replace(config.optimizer, lr=0.5)))


def test_a_run_that_has_not_trained_is_no_start(config: FinetuneConfig, tmp_path: Path):
    (tmp_path / "begun" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .*begun"):
        finetune(replace(config, start=str(tmp_path / "begun")))
