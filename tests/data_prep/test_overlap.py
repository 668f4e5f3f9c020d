"""Overlap: planted duplicates are found, nothing else is, and a clean store has none left."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import __main__ as cli
from data_prep import overlap, verify
from data_prep.decode import decode_texts, example_texts
from data_prep.overlap.keys import SHINGLE, example_keys, jaccard, split_words
from data_prep.streams import list_store, read_shard
from recipe.data.manifest import MANIFEST, Manifest
from recipe.data.store import open_store
from recipe.data.stream_files import read_stream_files
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks.catalogue import get_task

RNG = random.Random(0)
WORDS = ["".join(RNG.choices("abcdefghijklmnopqrstuvwxyz", k=RNG.randint(2, 8))) for _ in range(400)]


def sentence(length: int = 12) -> str:
    return " ".join(RNG.choices(WORDS, k=length)).capitalize() + "."


def restyled(text: str) -> str:
    """The same words in another case, spacing and punctuation."""
    return f'  " {text.upper()} "  '.replace(" ", "  ") + " !"


def with_another_end(text: str) -> str:
    return text.rsplit(" ", 1)[0] + " otherwise."


LONG = [sentence(40) for _ in range(4)]
SHORT = [sentence(5) for _ in range(4)]
PLANTED = [sentence() for _ in range(8)]


def fill(rows: Sequence[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows among 30 that are like no other."""
    return [*rows, *({"label": i % 2, **{name: sentence() for name in names}} for i in range(30))]


RAW: dict[str, list[dict[str, Any]]] = {
    "sst2/validation": fill(
        [{"sentence": text, "label": 1} for text in (*PLANTED[:3], LONG[0], *SHORT[:2])], "sentence"
    ),
    "sst2/train": fill([], "sentence"),
    "rotten_tomatoes/validation": fill([], "text"),
    "rotten_tomatoes/train": fill(
        [
            # Three exact, one near, one too short for a shared run of words, one text of a pair.
            *({"text": restyled(text), "label": 0} for text in (*PLANTED[:2], SHORT[0])),
            {"text": with_another_end(LONG[0]), "label": 0},
            {"text": with_another_end(SHORT[1]), "label": 0},
            {"text": PLANTED[5], "label": 0},
        ],
        "text",
    ),
    "rte/validation": fill(
        [
            {"sentence1": PLANTED[3], "sentence2": PLANTED[4], "label": 0},
            {"sentence1": PLANTED[5], "sentence2": sentence(), "label": 0},
            {"sentence1": PLANTED[6], "sentence2": SHORT[2], "label": 0},
        ],
        "sentence1",
        "sentence2",
    ),
    "rte/train": fill(
        [
            {"sentence1": restyled(PLANTED[4]), "sentence2": PLANTED[3], "label": 1},
            {"sentence1": sentence(), "sentence2": PLANTED[6], "label": 1},
            {"sentence1": sentence(), "sentence2": SHORT[2], "label": 1},  # a text of under eight words is no match
        ],
        "sentence1",
        "sentence2",
    ),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer_folder: str) -> Path:
    folder = tmp_path_factory.mktemp("overlap")
    for name, rows in RAW.items():
        path = folder / "raw" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)
    command = [str(folder / "store"), "--source", f"local:{folder / 'raw'}", "--tokenizer", tiny_tokenizer_folder]
    assert cli.main([*command, "--workers", "1"]) == 0
    return folder / "store"


@pytest.fixture(scope="module")
def result(store: Path) -> Path:
    """The report, and the clean store in its folder ``clean``."""
    out = store.parent / "report"
    options = ["--out", str(out), "--drop-overlap", str(out / "clean"), "--workers", "1"]
    assert overlap.main([str(store), *options]) == 0
    return out


def pairs(report: Path) -> dict[tuple[str, str], tuple[int, int, int]]:
    found = json.loads((report / "overlap.json").read_text())["pairs"]
    return {(one["of"], one["found_in"]): (one["exact"], one["near"], one["text"]) for one in found}


def test_planted_duplicates_are_found_and_nothing_else(result: Path):
    assert pairs(result) == {
        ("sst2/validation", "rotten_tomatoes/train"): (3, 1, 0),
        ("rotten_tomatoes/train", "sst2/validation"): (3, 1, 0),
        ("rte/validation", "rte/train"): (1, 0, 1),
        ("rte/train", "rte/validation"): (1, 0, 1),
        ("rte/validation", "rotten_tomatoes/train"): (0, 0, 1),
        ("rotten_tomatoes/train", "rte/validation"): (0, 0, 1),
    }


def test_the_report_quotes_what_it_found(result: Path):
    text = (result / "overlap.md").read_text()
    assert "2 of the 3 evaluation sets" in text
    assert "| sst2/validation | 36 | rotten_tomatoes/train | 3 | 1 | 0 | 11.1 % |" in text
    quotes = text.split("## Examples")[1]
    assert PLANTED[0][:100] in quotes and LONG[0][:100] in quotes and PLANTED[5][:100] in quotes
    assert (result / "overlap.png").read_bytes().startswith(b"\x89PNG")


def test_the_clean_store_keeps_evaluation_and_loses_what_it_has_in_common_with_training(
    result: Path, store: Path, tiny_tokenizer_folder: str, tmp_path: Path
):
    clean = result / "clean"
    assert verify.main([str(clean)]) == 0
    before, after = content(store, "validation"), content(clean, "validation")
    assert before == after and len(before) == 3 * 4
    assert content(store, "train").items() > content(clean, "train", only="sst2").items()
    sizes = {task: manifest_of(clean, task).written for task in ("sst2", "rotten_tomatoes", "rte")}
    assert sizes == {"sst2": 30, "rotten_tomatoes": 31, "rte": 32}
    dropped = manifest_of(clean, "rotten_tomatoes").dropped
    # A sentence that stands alone in training goes even where it is only one half of an evaluation example.
    assert dropped == {"overlaps sst2/validation": 4, "overlaps rte/validation": 1}
    assert manifest_of(clean, "rte").dropped == {"overlaps rte/validation": 1}
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    opened = open_store(str(clean), tokenizer, list(sizes), "train", str(tmp_path / "cache"))
    texts = [decode_texts(tokenizer, [opened[i]["tokens"]])[0].lower().split() for i in range(len(opened))]
    assert len(texts) == 93 and not any(" ".join(split_words(PLANTED[0])) in " ".join(text) for text in texts)


def test_a_clean_store_has_no_duplicates_left(result: Path, tmp_path: Path):
    assert overlap.main([str(result / "clean"), "--out", str(tmp_path), "--workers", "1"]) == 0
    assert [counts for counts in pairs(tmp_path).values() if counts[0] or counts[1]] == []
    assert "0 of the 3 evaluation sets" in (tmp_path / "overlap.md").read_text()


def content(store: Path, split: str, only: str = "*") -> dict[str, bytes]:
    return {str(path.relative_to(store)): path.read_bytes() for path in sorted(store.glob(f"*/{only}/{split}/*"))}


def manifest_of(store: Path, task: str) -> Manifest:
    (path,) = store.glob(f"*/{task}/train/{MANIFEST}")
    return Manifest.from_json(path.read_text())


def test_the_same_report_whatever_the_number_of_workers(result: Path, store: Path, tmp_path: Path):
    assert overlap.main([str(store), "--out", str(tmp_path), "--workers", "2"]) == 0
    for name in ("overlap.md", "overlap.json"):
        assert (tmp_path / name).read_bytes() == (result / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tasks", "cola"], "no streams of cola; convert them first"),
        (["--tasks", "colla"], "unknown task 'colla'"),
        (["--tokenizer", "/no/such/tokenizer"], "tokenizer '/no/such/tokenizer': cannot be loaded"),
        (["--drop-overlap", "{store}"], "is already there; name a new folder"),
        (["--drop-overlap", "s3://bucket/store"], "expected a local folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    arguments: list[str], message: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    places = [argument.format(store=store) for argument in arguments]
    assert overlap.main([str(store), "--out", str(tmp_path / "report"), "--workers", "1", *places]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("error:") == 1


def test_another_tokenizer_is_refused(store: Path, tiny_tokenizer_folder: str, tmp_path: Path, capsys: Any):
    other = load_tokenizer(tiny_tokenizer_folder)
    other.add_tokens(["wholly-new"])
    other.save_pretrained(tmp_path / "other")
    assert overlap.main([str(store), "--tokenizer", str(tmp_path / "other"), "--workers", "1"]) == 2
    assert "is not the one that the store was made with" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("It ca n't be -- really , it 's not !", "It can't be - really, it's not"),
        ("you can ' t , he said : they ' re here", "you ca n't, he said: they're here"),
        ("the dogs ' tails", "the dogs' tails"),
        ("-LRB- yes -RRB-", "(YES)"),
        ("the  well-known\nfact", "The well - known fact."),
        ("a `` quoted '' word", 'a "quoted" word'),
    ],
)
def test_styles_of_the_same_text_have_the_same_words(one: str, other: str):
    assert split_words(one) == split_words(other)


def test_keys_do_not_depend_on_the_order_of_texts_nor_on_the_batch():
    texts = [[sentence(), sentence()] for _ in range(5)]
    together = example_keys(texts)
    assert (example_keys([pair[::-1] for pair in texts]).whole == together.whole).all()
    for number, pair in enumerate(texts):
        alone = example_keys([pair])
        assert alone.whole[0] == together.whole[number]
        assert (alone.bands[0] == together.bands[number]).all()
        assert (alone.shingles == together.shingles[together.starts[number] : together.starts[number + 1]]).all()
    assert example_keys([["word"]]).whole[0] == example_keys([["Word!", "word"]]).whole[0]


def test_shingles_are_the_runs_of_words_inside_each_text():
    first, second = sentence(9), sentence(4)
    keys = example_keys([[first, second], [second]])
    assert keys.starts.tolist() == [0, 9 - SHINGLE + 1 + 1, 9 - SHINGLE + 1 + 2]
    assert keys.shingles[-1] == keys.shingles[-2] and len(set(keys.shingles[:-1].tolist())) == 6


def test_near_duplicates_share_a_band_and_unlike_texts_do_not():
    texts = [sentence(60) for _ in range(50)]
    keys = example_keys([[text] for text in (*texts, *map(with_another_end, texts))])
    shared = keys.bands[:, None] == keys.bands[None, :]
    near = shared.any(axis=2)
    assert near[range(50), range(50, 100)].all()
    assert near.sum() == 2 * 50 + 100
    for number in (0, 49):
        one, other = (keys.shingles[keys.starts[i] : keys.starts[i + 1]] for i in (number, number + 50))
        assert jaccard(np.unique(one), np.unique(other)) == pytest.approx(55 / 57)


def test_windows_join_to_the_context_that_they_were_cut_from(tmp_path: Path, tiny_tokenizer_folder: str):
    command = [str(tmp_path), "--source", "miniature", "--tokenizer", tiny_tokenizer_folder, "--tasks", "hotpot_qa"]
    assert cli.main([*command, "--splits", "validation", "--max-length", "48", "--limit", "10", "--workers", "1"]) == 0
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    (stream,) = list_store(str(tmp_path)).streams
    files = read_stream_files(stream.folder, "")
    for sample in read_shard(stream, files.shards[0]):
        assert len(sample["row_lengths"]) > 2
        _, context = decode_texts(tokenizer, example_texts(sample, get_task("hotpot_qa").family, files.manifest.stride))
        assert split_words(context) == split_words(sample["reference"]["context"])
