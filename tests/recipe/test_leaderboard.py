"""Leaderboard files: bytes as the benchmarks ask for them, from hand-made predictions and from a real tiny run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pyarrow.parquet as pq
import pytest
import torch

from data_prep.__main__ import main as convert
from recipe import leaderboard
from recipe.checkpoint import BEST, read_checkpoint
from recipe.data.collate import collate
from recipe.data.store import open_store
from recipe.models import restore_model
from recipe.protocol.result import Predictions, save_result
from recipe.tasks import get_task
from recipe.tasks.leaderboards import BENCHMARKS, BoardFile, LeaderboardError, complete
from tests.conftest import write_benchmark
from tests.fake_runs import fake_run
from tests.tiny_run import train_tiny

FILES = {(benchmark, file.name): file for benchmark, files in BENCHMARKS.items() for file in files}
NESTED = [{"paragraph": p, "question": q, "answer": a} for p, q, a in ((7, 2, 0), (5, 0, 1), (5, 0, 0), (5, 1, 2))]
QUERIES = [{"passage": 9, "query": 31}, {"passage": 9, "query": 30}]


@pytest.mark.parametrize(
    ("benchmark", "name", "indices", "predictions", "content"),
    [
        ("glue", "CoLA.tsv", [1, 0], [0, 1], "index\tprediction\n0\t1\n1\t0\n"),
        ("glue", "QNLI.tsv", [0, 1], [0, 1], "index\tprediction\n0\tentailment\n1\tnot_entailment\n"),
        ("glue", "STS-B.tsv", [0, 1, 2], [5.2, -0.1, 2.34567], "index\tprediction\n0\t5.000\n1\t0.000\n2\t2.346\n"),
        ("glue", "AX.tsv", [0, 1], [2, 1], "index\tprediction\n0\tcontradiction\n1\tneutral\n"),
        ("superglue", "BoolQ.jsonl", [1, 0], [1, 0], '{"idx": 0, "label": "false"}\n{"idx": 1, "label": "true"}\n'),
        ("superglue", "CB.jsonl", [0], [1], '{"idx": 0, "label": "contradiction"}\n'),
        ("superglue", "COPA.jsonl", [0], [1], '{"idx": 0, "label": 1}\n'),
        ("superglue", "WiC.jsonl", [0], [1], '{"idx": 0, "label": "true"}\n'),
        ("superglue", "WSC.jsonl", [0], [1], '{"idx": 0, "label": "True"}\n'),
        ("superglue", "AX-g.jsonl", [0], [0], '{"idx": 0, "label": "entailment"}\n'),
        (
            "superglue",
            "MultiRC.jsonl",
            NESTED,
            [1, 0, 1, 0],
            '{"idx": 5, "passage": {"questions": ['
            '{"idx": 0, "answers": [{"idx": 0, "label": 1}, {"idx": 1, "label": 0}]}, '
            '{"idx": 1, "answers": [{"idx": 2, "label": 0}]}]}}\n'
            '{"idx": 7, "passage": {"questions": [{"idx": 2, "answers": [{"idx": 0, "label": 1}]}]}}\n',
        ),
        (
            "superglue",
            "ReCoRD.jsonl",
            QUERIES,
            ["Zürich", "Bern"],
            '{"idx": 30, "label": "Bern"}\n{"idx": 31, "label": "Z\\u00fcrich"}\n',
        ),
    ],
)
def test_a_file_is_what_the_server_reads(
    benchmark: str, name: str, indices: list[Any], predictions: list[Any], content: str
):
    file = FILES[benchmark, name]
    answers = file.answers(indices, predictions, [None] * len(indices))
    assert file.write(get_task(file.task), answers) == content


def test_matched_and_mismatched_examples_go_into_files_of_their_own():
    references = [(None, "matched"), [None, "mismatched"], (None, "matched")]
    for name, content in (("MNLI-m.tsv", "0\tentailment\n1\tneutral\n"), ("MNLI-mm.tsv", "0\tcontradiction\n")):
        file = FILES["glue", name]
        assert file.write(get_task("mnli"), file.answers([0, 0, 1], [0, 2, 1], references)).endswith(f"tion\n{content}")


def test_every_file_of_a_benchmark_has_its_published_size():
    sizes = {name: file.examples for (_, name), file in FILES.items()}
    assert len(BENCHMARKS["glue"]) == 11 and len(BENCHMARKS["superglue"]) == 10
    assert (sizes["MNLI-m.tsv"], sizes["MNLI-mm.tsv"], sizes["AX.tsv"], sizes["AX-g.jsonl"]) == (9796, 9847, 1104, 356)


def test_a_row_that_could_not_be_converted_gets_the_commonest_answer_and_many_are_an_error():
    file: BoardFile = FILES["superglue", "WSC.jsonl"]
    answers = [(index, int(index % 3 == 0)) for index in range(146) if index != 9]
    filled, remark = complete(file, answers)
    assert filled == sorted([*answers, (9, 0)])
    assert remark == "WSC.jsonl: 145 of 146 examples have a prediction; the others have the commonest one"
    with pytest.raises(LeaderboardError, match=r"WSC.jsonl: 100 of 146 .*whole test split of wsc, without --limit"):
        complete(file, answers[:100])
    assert complete(file, answers[:100], partial=True)[0] == answers[:100]
    assert complete(file, filled) == (filled, None)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: str) -> str:
    """CoLA and MNLI with their test splits, and AX."""
    raw, store = tmp_path_factory.mktemp("raw"), str(tmp_path_factory.mktemp("store"))
    write_benchmark(raw, ["cola", "mnli"], 12)
    (raw / "ax").mkdir()
    pq.write_table(pq.read_table(raw / "mnli" / "test_matched.parquet")[:5], raw / "ax" / "test.parquet")
    options = ["--source", f"local:{raw}", "--tokenizer", tiny_tokenizer_folder, "--max-length", "96", "--workers", "1"]
    assert convert([store, *options, "--tasks", "cola,mnli,ax", "--splits", "train,validation,test"]) == 0
    return store


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, store: str, tiny_tokenizer_folder: str) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    return train_tiny(folder, tiny_tokenizer_folder, ["cola", "mnli"], {"store": store, "step_examples": 12}, "2ba")


def finetuned(folder: Path, key: str, predictions: Predictions) -> Path:
    """A fine-tuning run that has left its test predictions, and no weights."""
    save_result(folder, fake_run(get_task(key), "start", 1, 0.7).result, predictions, test=True)
    return folder


def test_a_submission_from_a_run_with_several_heads_and_a_fine_tuned_one(
    run: Path,
    store: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    (tmp_path / "wnli").mkdir()
    wnli = finetuned(tmp_path / "wnli", "wnli", Predictions([n % 2 for n in range(146)], [None] * 146, [*range(146)]))
    command = ["leaderboard.py", "glue", str(tmp_path / "glue.zip"), str(run), str(wnli)]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit):
        leaderboard.main()
    error = capsys.readouterr().err
    assert "the server takes all 11 files at once; SST-2.tsv: no run learned sst2; MRPC.tsv" in error
    assert "CoLA" not in error and "AX" not in error and not (tmp_path / "glue.zip").exists()

    monkeypatch.setattr(sys, "argv", [*command, "--partial"])
    leaderboard.main()
    assert "warning: CoLA.tsv: 12 of 1,063 examples have a prediction" in capsys.readouterr().err
    with ZipFile(tmp_path / "glue.zip") as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert list(files) == ["CoLA.tsv", "MNLI-m.tsv", "MNLI-mm.tsv", "WNLI.tsv", "AX.tsv"]
    assert files["WNLI.tsv"] == "index\tprediction\n" + "".join(f"{n}\t{n % 2}\n" for n in range(146))
    names = get_task("mnli").labels
    for name, text in (
        ("CoLA.tsv", predict(run, store, "cola", tmp_path)),
        ("MNLI-m.tsv", [names[answer] for answer in predict(run, store, "mnli", tmp_path)[:12]]),
        ("MNLI-mm.tsv", [names[answer] for answer in predict(run, store, "mnli", tmp_path / "again")[12:]]),
        ("AX.tsv", [names[answer] for answer in predict(run, store, "ax", tmp_path)]),
    ):
        assert files[name] == "index\tprediction\n" + "".join(f"{n}\t{answer}\n" for n, answer in enumerate(text)), name


def predict(run: Path, store: str, key: str, cache: Path) -> list[int]:
    """The classes of a test split's examples, one by one through the network."""
    model, _, tokenizer = restore_model(read_checkpoint(run / "checkpoints" / BEST))
    opened, pad = open_store(store, tokenizer, [key], "test", str(cache / key)), tokenizer.pad_token_id
    assert isinstance(pad, int)
    model.eval()
    with torch.inference_mode():
        alone = [collate([(get_task(key), opened[index])], pad) for index in range(len(opened))]
        return [int(model(microbatch)[0]["logits"].argmax()) for microbatch in alone]


def test_a_fine_tuned_run_goes_before_one_with_heads_for_all_and_two_of_a_kind_are_an_error(run: Path, tmp_path: Path):
    both = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        both.append(finetuned(tmp_path / name, "cola", Predictions([1] * 1063, [None] * 1063, [*range(1063)])))
    leaderboard.write_submission(tmp_path / "glue.zip", "glue", [run, both[0]], partial=True)
    with ZipFile(tmp_path / "glue.zip") as archive:
        cola = archive.read("CoLA.tsv").decode()
        assert cola == "index\tprediction\n" + "".join(f"{n}\t1\n" for n in range(1063))
        assert "MNLI-m.tsv" in archive.namelist()
    with pytest.raises(LeaderboardError, match=rf"cola: {both[0]} and {both[1]} both answer it: give one of them"):
        leaderboard.write_submission(tmp_path / "glue.zip", "glue", [run, *both], partial=True)


def test_a_store_without_the_split_is_an_error(run: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(LeaderboardError, match=r"nothing to write: .*--splits test --tasks cola"):
        leaderboard.write_submission(tmp_path / "glue.zip", "glue", [run], store=str(empty), partial=True)
    assert not (tmp_path / "glue.zip").exists()
