"""The command line: teaches, converts, and says what is wrong in one line with exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep import __main__ as cli
from data_prep import train_tokenizer
from data_prep.sources import parse_source
from recipe.data.store import open_store
from recipe.data.tokenizer import fingerprint, load_tokenizer
from recipe.tasks import CATALOGUE, PREFINETUNE_TASKS

MINIATURE = ["--source", "miniature"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "data_prep", *arguments], capture_output=True, text=True, timeout=300)


def test_help_shows_the_sources_and_examples():
    result = run("--help")
    assert result.returncode == 0
    assert "local:<folder>" in result.stdout and "--source miniature --tokenizer" in result.stdout
    assert "FacebookAI/roberta-base \\\n      --scheduler tcp://host:8786\n" in result.stdout


def test_converting_and_converting_again(
    tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
):
    command = [str(tmp_path / "store"), *MINIATURE, "--tokenizer", tiny_tokenizer_folder, "--max-length", "64"]
    command += ["--tasks", "cb,copa", "--workers", "1", "--limit", "20"]
    assert cli.main(command) == 0
    first = capsys.readouterr().out
    assert "4 streams converted, 0 already there" in first and "cb" in first and "2 tasks" in first
    store = open_store(
        str(tmp_path / "store"), load_tokenizer(tiny_tokenizer_folder), ["cb", "copa"], "train", str(tmp_path / "cache")
    )
    assert len(store) == 40
    assert cli.main(command) == 0
    assert "0 streams converted, 4 already there" in capsys.readouterr().out


def test_the_46_are_converted_unless_other_tasks_are_asked_for():
    source = parse_source("miniature")
    downstream = [key for key, task in CATALOGUE.items() if not task.prefinetune]
    assert cli.select_tasks(source, None) == list(PREFINETUNE_TASKS)
    assert cli.select_tasks(source, None, downstream=True) == downstream
    assert cli.select_tasks(source, None, ["regression", "tagging"], ["ptb_pos"], downstream=True) == [
        "stsb",
        "conll2000_chunking",
        "ptb_parsing",
    ]
    assert cli.select_tasks(source, ["stsb", "cb"]) == ["stsb", "cb"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "hubb"], "did you mean hub?"),
        (["--source", "local:/no/such/folder"], "/no/such/folder: no such folder"),
        ([*MINIATURE, "--tasks", "colla"], "unknown task 'colla': did you mean 'cola'?"),
        ([*MINIATURE, "--families", "mcr"], "'mcr' is unknown; choose from classification"),
        ([*MINIATURE, "--families", "tagging"], "'tagging' is learned in fine-tuning only (add --downstream)"),
        (
            [*MINIATURE, "--families", "commonsense", "--downstream"],
            "'commonsense' has no downstream task; choose",
        ),
        ([*MINIATURE, "--tasks", "cb", "--downstream"], "--downstream: chooses tasks in place of --tasks"),
        ([*MINIATURE, "--tasks", "cb", "--exclude", "cb"], "no tasks left"),
        ([*MINIATURE, "--splits", "dev"], "--splits dev: expected some of train, validation, test"),
        ([*MINIATURE, "--tasks", "cb", "--max-length", "8"], "max_length=8: expected at least 32"),
        ([*MINIATURE, "--tasks", "cb", "--max-length", "9999"], "--max-length 9999: the model of tokenizer"),
        ([*MINIATURE, "--tasks", "cb", "--tokenizer", "/no/such/tokenizer"], "tokenizer '/no/such/tokenizer': cannot"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    tiny_tokenizer_folder: str,
    capsys: pytest.CaptureFixture[str],
):
    options = arguments if "--tokenizer" in arguments else [*arguments, "--tokenizer", tiny_tokenizer_folder]
    assert cli.main([str(tmp_path / "store"), *options]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err
    assert not (tmp_path / "store").exists()


def test_a_mistyped_option_is_one_line_and_exit_code_2():
    result = run("store", *MINIATURE, "--tokenizer", "tokenizer", "--limit", "none")
    assert result.returncode == 2
    assert result.stderr.startswith("error: argument --limit: ") and result.stderr.count("\n") == 1


def test_training_a_tokenizer_is_deterministic(tmp_path: Path, tiny_tokenizer_folder: str):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        assert train_tokenizer.main([str(folder), *MINIATURE, "--tasks", "cb,copa", "--vocab-size", "400"]) == 0
    first, second = ((folder / "tokenizer.json").read_bytes() for folder in folders)
    assert first == second


def test_a_trained_tokenizer_has_robertas_special_tokens_and_template(tiny_tokenizer_folder: str):
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert tokenizer.decode(tokenizer.encode("ab", "cd")) == "<s>ab</s></s>cd</s>"
    assert tokenizer.model_max_length == 512


def test_too_small_a_vocabulary_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="2"):
        train_tokenizer.main([str(tmp_path), *MINIATURE, "--vocab-size", "100"])
    assert "the bytes and special tokens alone are 261" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--source", "hubb"], "did you mean hub?"), ([*MINIATURE, "--tasks", "colla"], "did you mean 'cola'?")],
)
def test_what_a_tokenizer_cannot_be_trained_on_is_said_in_one_line(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert train_tokenizer.main([str(tmp_path / "tokenizer"), *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


class TestFingerprint:
    def test_does_not_see_what_calls_leave_behind_nor_the_name(self, tiny_tokenizer_folder: str, tmp_path: Path):
        tokenizer = load_tokenizer(tiny_tokenizer_folder)
        before = fingerprint(tokenizer)
        tokenizer(["a", "b c"], truncation=True, max_length=4, padding=True)
        assert fingerprint(tokenizer) == before
        tokenizer.save_pretrained(tmp_path)
        assert fingerprint(load_tokenizer(str(tmp_path))) == before

    @pytest.mark.parametrize("change", ["vocabulary", "special", "template", "normalizer"])
    def test_sees_whatever_changes_the_ids(self, change: str, tiny_tokenizer_folder: str):
        tokenizer = load_tokenizer(tiny_tokenizer_folder)
        before = fingerprint(tokenizer)
        _change(tokenizer, change)
        assert fingerprint(tokenizer) != before


def _change(tokenizer: PreTrainedTokenizerFast, what: str) -> None:
    from tokenizers import normalizers, processors

    pipeline = tokenizer.backend_tokenizer
    if what == "vocabulary":
        tokenizer.add_tokens(["wholly-new"])
    elif what == "special":
        tokenizer.pad_token = "</s>"
    elif what == "template":
        pipeline.post_processor = processors.RobertaProcessing(sep=("</s>", 2), cls=("</s>", 2))  # type: ignore[assignment]
    else:
        pipeline.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
