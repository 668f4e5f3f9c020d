"""From a treebank's folder to a store that parsing can be learned from and trees rebuilt."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data_prep import __main__ as cli
from data_prep import treebank
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import get_task
from recipe.tasks.trees import labels_to_tree, read_trees

# Made up in the treebank's format: traces, function tags, indices, a nameless root, brackets as words.
FILE = """

( (S
    (NP-SBJ-1 (DT The) (NN {word}) )
    (VP (VBD was)
      (VP (VBN sold)
        (NP (-NONE- *-1) )
        (PP-LOC=2 (IN in)
          (NP (NNP Rome) ))))
    (. .) ))
( (FRAG (-LRB- -LRB-) (ADVP|PRT (RB up)) (-RRB- -RRB-) ))
( (S (NP-SBJ (-NONE- *)) ))
"""
CLEAN = [
    "(S (NP (DT The) (NN {word})) (VP (VBD was) (VP (VBN sold) (PP (IN in) (NP (NNP Rome))))) (. .))",
    "(FRAG (-LRB- -LRB-) (ADVP (RB up)) (-RRB- -RRB-))",
]


@pytest.fixture
def wsj(tmp_path: Path) -> Path:
    folder = tmp_path / "wsj"
    for section in range(25):
        (folder / f"{section:02d}").mkdir(parents=True)
        text = FILE.format(word=f"w{section}")
        if section == 22:
            text += "( (S (X (NN new)) (NN kind)) )"
        (folder / f"{section:02d}" / f"wsj_{section:02d}01.mrg").write_text(text, encoding="latin-1")
    return folder


def trees(path: Path) -> list[str]:
    return pq.read_table(path)["tree"].to_pylist()


def test_trees_lose_traces_and_function_tags_and_nothing_else(wsj: Path, tmp_path: Path) -> None:
    assert treebank.main([str(wsj), str(tmp_path / "raw")]) == 0
    assert trees(tmp_path / "raw/ptb_parsing/test.parquet") == [line.format(word="w23") for line in CLEAN]


def test_splits_are_the_published_sections(wsj: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert treebank.main([str(wsj), str(tmp_path / "raw")]) == 0
    sections = {
        path.relative_to(tmp_path / "raw").with_suffix("").as_posix(): [
            int(tree.split("(NN w")[1].split(")")[0]) for tree in trees(path) if "(NN w" in tree
        ]
        for path in (tmp_path / "raw").glob("*/*.parquet")
    }
    assert sections == {
        "ptb_parsing/train": list(range(2, 22)),
        "ptb_parsing/validation": [22],
        "ptb_parsing/test": [23],
        "ptb_pos/train": list(range(19)),
        "ptb_pos/validation": [19, 20, 21],
        "ptb_pos/test": [22, 23, 24],
    }
    assert "ptb_parsing/train.parquet: 40 trees" in capsys.readouterr().out


def test_a_parsing_store_has_the_labels_of_its_training_trees_and_gives_the_trees_back(
    wsj: Path, tmp_path: Path, tiny_tokenizer_folder: str
) -> None:
    raw, store = str(tmp_path / "raw"), str(tmp_path / "store")
    assert treebank.main([str(wsj), raw]) == 0
    command = [store, "--source", f"local:{raw}", "--tokenizer", tiny_tokenizer_folder, "--workers", "1"]
    assert cli.main([*command, "--downstream"]) == 0

    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    streams = {
        split: open_store(store, tokenizer, ["ptb_parsing"], split, str(tmp_path / "cache"))
        for split in ("train", "validation")
    }
    labels = streams["train"].manifests[0][0].labels
    assert labels == streams["validation"].manifests[0][0].labels == tuple(sorted(set(labels)))
    seen = 0
    for index in range(len(streams["validation"])):
        columns = streams["validation"][index]
        (tree,) = read_trees(columns["reference"]["tree"])
        if (columns["labels"] >= 0).all():
            seen += 1
            assert labels_to_tree([labels[number] for number in columns["labels"]], tree.leaves()) == tree
        else:
            assert tree.leaves()[0].word == "new"  # its labels stand nowhere in training
    assert seen == 2
    assert (
        open_store(store, tokenizer, ["ptb_pos"], "train", str(tmp_path / "cache")).manifests[0][0].labels
        == get_task("ptb_pos").labels
    )


def test_parsing_cannot_be_converted_without_its_training_trees(
    wsj: Path, tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "raw"
    assert treebank.main([str(wsj), str(raw)]) == 0
    (raw / "ptb_parsing" / "train.parquet").unlink()
    capsys.readouterr()
    command = [str(tmp_path / "store"), "--source", f"local:{raw}", "--tokenizer", tiny_tokenizer_folder]
    assert cli.main([*command, "--tasks", "ptb_parsing", "--splits", "validation"]) == 2
    assert "ptb_parsing/train.parquet: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["missing", "cut"])
def test_an_incomplete_treebank_is_named_in_one_line(
    broken: str, wsj: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = wsj / "07" / "wsj_0701.mrg"
    if broken == "missing":
        file.unlink()
    else:
        file.write_text(file.read_text()[:60])
    assert treebank.main([str(wsj), str(tmp_path / "raw")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert ("07: no .mrg files" if broken == "missing" else "wsj_0701.mrg: no bracketed tree") in error
