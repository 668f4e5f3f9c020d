"""The Hub as a source: repositories laid out as there, the real client code, real HTTP on loopback."""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from huggingface_hub import constants
from huggingface_hub.utils._http import reset_sessions

from data_prep.miniature import generate
from data_prep.notes import count_warning, place_warning
from data_prep.sources import Source, SourceError, select
from data_prep.sources.derived import DerivedSplits
from data_prep.sources.hub import HubSource
from recipe.tasks.catalogue import CATALOGUE, get_task
from recipe.tasks.origin import CONVERTED, Place, source_splits
from tests.data_prep.hub_server import TOKEN, Hub, hub

__all__ = ["hub"]


def texts(rows: int, name: str = "text", column: str = "sentence", label: int | None = None) -> pa.Table:
    """``rows`` numbered rows."""
    labels = [i % 2 if label is None else label for i in range(rows)]
    return pa.table({column: [f"{name} {i}" for i in range(rows)], "label": labels})


def read(source: Source, task: str, split: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    return [row for rows in source.read(task, split, columns) for row in rows]


def add_glue(hub: Hub, rows: int = 5) -> None:
    """Three configurations of GLUE with names in their texts, as native Parquet with a card."""
    configs = {}
    for config in ("ax", "cola", "sst2"):
        splits = {"validation": rows, "test": 2} | ({} if config == "ax" else {"train": rows})
        configs[config] = {split: f"{config}/{split}-*" for split in splits}
        for split, count in splits.items():
            table = texts(count, f"{config} {split}", label=-1 if split == "test" else None)
            hub.add("nyu-mll/glue", f"{config}/{split}-00000-of-00001.parquet", table)
    hub.add_card("nyu-mll/glue", configs)


def change_origin(monkeypatch: pytest.MonkeyPatch, task: str, *places: Place, rows: Mapping[str, int]) -> None:
    origin = replace(get_task(task).origin, places=places, rows=rows)
    monkeypatch.setitem(CATALOGUE, task, replace(get_task(task), origin=origin))


class TestNative:
    def test_a_configuration_is_read_alone_with_its_own_splits(self, hub: Hub):
        add_glue(hub)
        source = HubSource()
        assert source.revision("cola") == f"nyu-mll/glue@{hub.commit('nyu-mll/glue')}"
        assert source.splits("cola") == ["test", "train", "validation"]
        assert read(source, "cola", "train", ("sentence", "label")) == texts(5, "cola train").to_pylist()
        assert read(source, "sst2", "validation", ("sentence",))[0] == {"sentence": "sst2 validation 0"}

    def test_counting_rows_downloads_no_data(self, hub: Hub):
        hub.add("nyu-mll/glue", "cola/train-0.parquet", texts(100_000), compression="none")
        hub.add("nyu-mll/glue", "cola/validation-0.parquet", texts(3))
        hub.add_card("nyu-mll/glue", {"cola": {"train": "cola/train-*", "validation": "cola/validation-*"}})
        assert HubSource().rows("cola", "train") == 100_000
        assert hub.sent < 300_000 < (hub.root / "nyu-mll/glue/main/cola/train-0.parquet").stat().st_size

    def test_hidden_labels_arrive_as_they_are(self, hub: Hub):
        add_glue(hub)
        assert {row["label"] for row in read(HubSource(), "cola", "test", ("label",))} == {-1}

    def test_a_split_of_several_files_is_read_in_their_order_whatever_the_pieces(self, hub: Hub):
        for number in range(3):
            table = texts(700 + number, f"file {number}")
            hub.add("nyu-mll/glue", f"cola/train-{number}.parquet", table, row_group_size=300)
        hub.add("nyu-mll/glue", "cola/validation-0.parquet", texts(1))
        hub.add_card("nyu-mll/glue", {"cola": {"train": "cola/train-*", "validation": "cola/validation-*"}})
        source = HubSource()
        everything = read(source, "cola", "train", ("sentence",))
        assert [row["sentence"] for row in everything] == [f"file {n} {i}" for n in range(3) for i in range(700 + n)]
        for start, stop in ((0, 1), (299, 301), (650, 1450), (1400, 2103)):
            part = [row for rows in source.read("cola", "train", ("sentence",), (start, stop)) for row in rows]
            assert part == everything[start:stop]

    def test_a_pinned_revision_is_read_and_not_todays(self, hub: Hub):
        pin = get_task("snli").origin.places[0].revision
        assert pin
        for revision in (pin, "main"):
            for split in ("train", "validation", "test"):
                hub.add("stanfordnlp/snli", f"plain_text/{split}-0.parquet", texts(2, revision, "premise"), revision)
            globs = {split: f"plain_text/{split}-*" for split in ("train", "validation", "test")}
            hub.add_card("stanfordnlp/snli", {"plain_text": globs}, revision)
        source = HubSource()
        assert source.revision("snli") == f"stanfordnlp/snli@{pin}"
        assert read(source, "snli", "train", ("premise",))[0] == {"premise": f"{pin} 0"}

    def test_a_pin_that_is_gone_falls_back_to_todays_data_and_the_revision_says_so(self, hub: Hub):
        for split in ("train", "test"):
            hub.add("fancyzhx/ag_news", f"data/{split}-0.parquet", texts(2, column="text"))
        source = HubSource()
        assert source.revision("ag_news") == f"fancyzhx/ag_news@{hub.commit('fancyzhx/ag_news')}"
        assert len(read(source, "ag_news", "train", ("text",))) == 2

    def test_joined_splits_are_read_one_after_another(self, hub: Hub):
        splits = ("train_r1", "train_r2", "train_r3", "dev_r1", "dev_r2", "dev_r3")
        pin = get_task("anli").origin.places[0].revision or ""
        for split in splits:
            hub.add("facebook/anli", f"plain_text/{split}-0.parquet", texts(2, split, "premise"), pin)
        hub.add_card("facebook/anli", {"plain_text": {split: f"plain_text/{split}-*" for split in splits}}, pin)
        source = DerivedSplits(HubSource())
        rows = read(source, "anli", get_task("anli").train_split, ("premise",))
        assert [row["premise"] for row in rows] == [f"train_r{r} {i}" for r in (1, 2, 3) for i in (0, 1)]


class TestConverted:
    """The Hub's own Parquet branch has no card: left alone, ``datasets`` mixes configurations and splits there."""

    @pytest.fixture
    def splits(self, hub: Hub) -> dict[str, int]:
        splits = {"train": 6, "validation_matched": 4, "validation_mismatched": 3, "test_matched": 2}
        splits["test_mismatched"] = 1
        for config in ("cola", "mnli"):
            for split, rows in splits.items():
                table = texts(rows, f"{config} {split}", "premise")
                hub.add("nyu-mll/glue", f"{config}/{split}/0000.parquet", table, CONVERTED)
        hub.add("nyu-mll/glue", "glue.py", "raise SystemError('a loading script ran')")
        return splits

    def test_a_script_repository_is_read_from_the_conversion_with_every_split_kept_apart(
        self, hub: Hub, splits: dict[str, int]
    ):
        source = HubSource()
        assert source.revision("mnli") == f"nyu-mll/glue/{CONVERTED}@{hub.commit('nyu-mll/glue', CONVERTED)}"
        assert {split: source.rows("mnli", split) for split in source.splits("mnli")} == splits
        rows = read(source, "mnli", "validation_matched", ("premise",))
        assert [row["premise"] for row in rows] == [f"mnli validation_matched {i}" for i in range(4)]

    def test_a_split_without_a_familiar_name_is_not_dropped(self, hub: Hub):
        for split in ("train", "test", "unsupervised"):
            hub.add("stanfordnlp/imdb", f"plain_text/{split}/0000.parquet", texts(3, split, "text"), CONVERTED)
        assert HubSource().splits("imdb") == ["test", "train", "unsupervised"]

    def test_configurations_with_a_split_of_the_same_name_are_not_joined(self, hub: Hub):
        hub.add("ctr4si/reddit_tifu", "long/train/0000.parquet", texts(101, "long", "documents"), CONVERTED)
        hub.add("ctr4si/reddit_tifu", "short/train/0000.parquet", texts(50, "short", "documents"), CONVERTED)
        source = DerivedSplits(HubSource())
        parts = [
            read(source, "reddit_tifu", f"train#{part}", ("documents",)) for part in ("train", "validation", "test")
        ]
        assert all(parts)
        assert {row["documents"] for part in parts for row in part} == {f"long {i}" for i in range(101)}

    def test_a_mirrors_columns_get_the_original_names(self, hub: Hub):
        for split in ("train", "validation", "test"):
            table = pa.table({"article": [f"{split} news"], "summary": ["short"]})
            hub.add("SalmanFaroz/gigaword", f"data/{split}-0.parquet", table)
        source = HubSource()
        assert source.revision("gigaword").startswith("SalmanFaroz/gigaword@")
        rows = read(source, "gigaword", "train", ("document", "summary"))
        assert rows == [{"document": "train news", "summary": "short"}]


class TestRaw:
    def put(self, hub: Hub, name: str, content: bytes | str) -> str:
        hub.add("raw", name, content, revision="")
        return f"{hub.url}/raw/{name}"

    def test_hans(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        head = "gold_label\tb1\tb2\tp1\tp2\tsentence1\tsentence2\tpairID\theuristic\tsubcase\ttemplate\n"
        row = "{}\t( b )\t( b )\t(p)\t(p)\tThe doctor paid .\tThe actor paid .\tex0\tlexical_overlap\tle_x\ttemp1\n"
        text = head + row.format("non-entailment") + row.format("entailment") + row.format("-")
        files = {split: (self.put(hub, f"{split}.txt", text),) for split in ("train", "validation")}
        place = Place("", files=files, reader="hans")
        change_origin(monkeypatch, "hans", Place("jhu-cogsci/hans"), place, rows={"train": 2, "validation": 2})
        source = HubSource()
        assert source.revision("hans").startswith(f"{hub.url}/raw/train.txt@")
        rows = read(source, "hans", "train", ("premise", "hypothesis", "label"))
        pair = {"premise": "The doctor paid .", "hypothesis": "The actor paid ."}
        assert rows == [{**pair, "label": 1}, {**pair, "label": 0}]

    def test_eraser_multi_rc(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        annotation = {
            "annotation_id": "a:0:0",
            "classification": "True",
            "query": "Who ? || Ann",
            "evidences": [[{"docid": "News/a.txt".replace("/", "_"), "text": "Ann did it ."}]],
        }
        members = {
            "multirc/docs/News_a.txt": "Ann did it .\nBob did not .",
            "multirc/docs/._News_a.txt": "\x00\x05",
            "multirc/train.jsonl": json.dumps(annotation) + "\n",
            "multirc/val.jsonl": json.dumps(annotation | {"classification": "False"}) + "\n",
        }
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, text in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        url = self.put(hub, "multirc.tar.gz", buffer.getvalue())
        place = Place("", files={"train": (url,), "validation": (url,)}, reader="eraser_multi_rc")
        change_origin(monkeypatch, "eraser_multi_rc", place, rows={"train": 1, "validation": 1})
        source = HubSource()
        assert read(source, "eraser_multi_rc", "train", ("passage", "query_and_answer", "label")) == [
            {"passage": "Ann did it .\nBob did not .", "query_and_answer": "Who ? || Ann", "label": 1}
        ]
        assert read(source, "eraser_multi_rc", "validation", ("label",)) == [{"label": 0}]

    def test_multi_news_is_read_from_the_text_files_of_its_own_repository(self, hub: Hub):
        for split in ("train", "val"):
            document = f"{split} oneNEWLINE_CHARline two ||||| another\x85one"
            hub.add("alexfabbri/multi_news", f"data/{split}.src.cleaned", f"{document}\nsecond\n")
            hub.add("alexfabbri/multi_news", f"data/{split}.tgt", "\u2013 a summary\n\u2013 b\n")
        hub.add("alexfabbri/multi_news", "multi_news.py", "")
        source = HubSource()
        assert source.revision("multi_news") == f"alexfabbri/multi_news@{hub.commit('alexfabbri/multi_news')}"
        rows = read(source, "multi_news", "validation", ("document", "summary"))
        assert rows[0] == {"document": "val one\nline two ||||| another\x85one", "summary": "\u2013 a summary"}
        assert len(rows) == 2

    def test_hyperpartisan(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        body = "".join(
            f'<article id="{i}" title="T{i}" published-at="2017-01-01"><p>R &amp; D {i}</p>\n</article>'
            for i in range(10)
        )
        truth = "".join(
            f'<article id="{i}" hyperpartisan="{"true" if i % 2 else "false"}" url="u{i}"/>' for i in range(10)
        )
        urls = []
        for name, content in (("articles", body), ("ground-truth", truth)):
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr(f"{name}.xml", f"<articles>{content}</articles>")
            urls.append(self.put(hub, f"{name}.zip", buffer.getvalue()))
        place = Place("", files={"train": tuple(urls)}, reader="hyperpartisan")
        change_origin(monkeypatch, "hyperpartisan", place, rows={"train": 10})
        source = HubSource()
        assert source.splits("hyperpartisan") == ["train"]
        rows = read(source, "hyperpartisan", "train", ("title", "text", "hyperpartisan"))
        assert len(rows) == 10
        assert rows[8] == {"title": "T8", "text": "<p>R &amp; D 8</p>\n", "hyperpartisan": False}

    def test_conll2000(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        text = "He PRP B-NP\nreckons VBZ B-VP\n. . O\n\nYes UH B-INTJ\n"
        files = {split: (self.put(hub, f"{split}.txt", text),) for split in ("train", "test")}
        change_origin(
            monkeypatch, "conll2000_chunking", Place("", files=files, reader="conll2000"), rows={"train": 2, "test": 2}
        )
        rows = read(HubSource(), "conll2000_chunking", "train", ("tokens", "chunk_tags"))
        labels = get_task("conll2000_chunking").labels
        assert [[labels[tag] for tag in row["chunk_tags"]] for row in rows] == [["B-NP", "B-VP", "O"], ["B-INTJ"]]
        assert rows[0]["tokens"] == ["He", "reckons", "."]

    def test_files_of_another_kind_are_named(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        files = {split: (self.put(hub, f"{split}.txt", "<html>\nmoved\n"),) for split in ("train", "validation")}
        change_origin(monkeypatch, "hans", Place("", files=files, reader="hans"), rows={"train": 2, "validation": 2})
        with pytest.raises(ValueError, match=r"hans: /\S+/downloads/\w+: not what the hans reader expects"):
            HubSource().revision("hans")


class TestStreamed:
    FILES, ROWS = 6, 40

    @pytest.fixture
    def natural_questions(self, hub: Hub) -> int:
        """Six files of incompressible pages; returns their size."""
        repository = "google-research-datasets/natural_questions"
        for split, files in (("train", self.FILES), ("validation", 1)):
            for number in range(files):
                pages = [{"title": f"page {number}-{i}", "html": _noise(number, i)} for i in range(self.ROWS)]
                hub.add(repository, f"default/{split}-{number}.parquet", pa.table({"document": pages}))
        globs = {split: f"default/{split}-*" for split in ("train", "validation")}
        hub.add_card(repository, {"default": globs})
        return sum(path.stat().st_size for path in (hub.root / repository).rglob("train-*.parquet"))

    def test_a_limit_reads_the_beginning_and_leaves_the_other_files_alone(self, hub: Hub, natural_questions: int):
        source = HubSource()
        source.revision("natural_questions")
        selection = select(source, "natural_questions", "train", 50)
        assert selection.pieces == ((0, 40), (40, 50)) and selection.rows == 50
        rows = [
            row
            for piece in selection.pieces
            for rows in source.read("natural_questions", "train", ("document",), piece)
            for row in rows
        ]
        assert [row["document"] for row in rows] == [{"title": f"page {n // 40}-{n % 40}"} for n in range(50)]
        assert hub.sent < natural_questions / self.FILES
        asked = {line.split()[1] for line in hub.requests if "resolve" in line and ".parquet" in line}
        assert {path.rsplit("/", 1)[1] for path in asked} == {"train-0.parquet", "train-1.parquet"}

    def test_pieces_are_the_files_and_nothing_is_kept_on_disk(self, hub: Hub, natural_questions: int):
        source = HubSource()
        assert source.pieces("natural_questions", "train") == [(40 * n, 40 * (n + 1)) for n in range(self.FILES)]
        assert len(read(source, "natural_questions", "train", ("document",))) == 240
        assert not list((hub.root.parent / "cache").rglob("*.parquet"))

    def test_a_worker_reads_its_piece_without_asking_for_the_other_files(self, hub: Hub, natural_questions: int):
        assert HubSource().rows("natural_questions", "train") == 240
        hub.requests.clear()
        (rows,) = HubSource().read("natural_questions", "train", ("document",), (200, 203))
        assert [row["document"]["title"] for row in rows] == ["page 5-0", "page 5-1", "page 5-2"]
        assert {line.split()[1][-15:] for line in hub.requests if ".parquet" in line} == {"train-5.parquet"}


def _noise(*seed: int) -> str:
    return random.Random(repr(seed)).randbytes(4000).hex()


class TestOffline:
    def go_offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        reset_sessions()

    def test_what_was_read_before_can_be_read_again(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        add_glue(hub)
        source = HubSource()
        revision, rows = source.revision("cola"), read(source, "cola", "train", ("sentence",))
        self.go_offline(monkeypatch)
        hub.requests.clear()
        again = HubSource()
        assert again.revision("cola") == revision
        assert read(again, "cola", "train", ("sentence",)) == rows
        assert hub.requests == []

    def test_what_was_not_is_named_with_its_repository(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        add_glue(hub)
        assert HubSource().rows("cola", "validation") == 5
        self.go_offline(monkeypatch)
        with pytest.raises(SourceError, match=r"sst2: HF_HUB_OFFLINE is set and nyu-mll/glue was not read before"):
            HubSource().revision("sst2")
        with pytest.raises(SourceError, match=r"cola: HF_HUB_OFFLINE is set and nyu-mll/glue@\w+ cola/validation-0"):
            read(HubSource(), "cola", "validation", ("sentence",))


class TestWhatIsWrong:
    def test_a_dataset_that_is_nowhere_names_the_places_that_were_tried(self, hub: Hub):
        with pytest.raises(SourceError) as error:
            HubSource().revision("math_qa")
        message = str(error.value)
        assert message.startswith(f"math_qa: the Hub does not have it (allenai/math_qa/{CONVERTED}: does not exist")
        assert "regisss/math_qa: does not exist" in message and "\n" not in message

    def test_a_private_repository_needs_the_token_of_the_environment(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        add_glue(hub)
        hub.private.add("nyu-mll/glue")
        with pytest.raises(
            SourceError, match=r"cola: .*nyu-mll/glue: does not exist, or is private and HF_TOKEN is not"
        ):
            HubSource().revision("cola")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert len(read(HubSource(), "cola", "train", ("sentence",))) == 5

    def test_a_missing_split_is_not_taken_for_the_dataset(self, hub: Hub):
        hub.add("Rowan/hellaswag", "data/train-0.parquet", texts(2))
        with pytest.raises(SourceError, match=r"Rowan/hellaswag: has no split validation, only train"):
            HubSource().revision("hellaswag")

    def test_a_network_that_is_cut_says_that_the_next_run_goes_on(self, hub: Hub, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")
        url = "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", url)
        monkeypatch.setattr("datasets.config.HF_ENDPOINT", "http://127.0.0.1:1")
        with pytest.raises(SourceError, match=r"cola: cannot re.* nyu-mll/glue.*the same command goes on from here"):
            HubSource().revision("cola")

    def test_licensed_data_needs_a_local_copy(self, hub: Hub):
        licensed = [key for key, task in CATALOGUE.items() if not task.origin.places]
        assert licensed and not set(licensed) & set(HubSource().tasks())
        with pytest.raises(SourceError, match=r"is not on the Hub \(LDC licence\); use local:<folder>"):
            HubSource().revision(licensed[0])

    def test_an_unknown_split_names_those_there_are(self, hub: Hub):
        add_glue(hub)
        with pytest.raises(SourceError, match=r"cola: nyu-mll/glue has no split dev \("):
            HubSource().rows("cola", "dev")


class TestConversion:
    """The command line, in processes of its own with the Hub's usual environment variables."""

    def convert(self, hub: Hub, tokenizer: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        home = hub.root.parent
        command = [sys.executable, "-m", "data_prep", str(home / "store"), "--tasks", "cola,natural_questions"]
        command += ["--tokenizer", tokenizer, "--max-length", "64", "--workers", "2", *options]
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home / "home"), "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
        variables |= {"COLUMNS": "300", **environment}
        return subprocess.run(command, capture_output=True, text=True, timeout=900, env=os.environ | variables)

    def test_from_the_hub_into_shards_and_again_offline(self, hub: Hub, tiny_tokenizer_folder: str):
        add_glue(hub)
        page = generate("natural_questions", "train")
        for split in ("train", "validation"):
            path = f"default/{split}-0.parquet"
            hub.add("google-research-datasets/natural_questions", path, page, row_group_size=10)
        result = self.convert(hub, tiny_tokenizer_folder)
        assert result.returncode == 0, result.stderr
        assert "4 streams converted" in result.stdout
        assert "warning: train has 5 rows where 8,551 are known" in " ".join(result.stdout.split())
        hub.requests.clear()
        again = self.convert(hub, tiny_tokenizer_folder, HF_HUB_OFFLINE="1")
        assert again.returncode == 0, again.stderr
        assert "0 streams converted, 4 already there" in again.stdout
        assert hub.requests == []
        limited = self.convert(hub, tiny_tokenizer_folder, "--limit", "2", HF_HUB_OFFLINE="1", HF_HOME="/nowhere")
        assert limited.returncode == 2 and limited.stderr.count("\n") == 1
        assert limited.stderr.startswith("error: cola: HF_HUB_OFFLINE is set and nyu-mll/glue was not read before")


@pytest.mark.parametrize(
    ("task", "split", "rows", "warning"),
    [
        ("cola", "train", 8_551, None),
        ("cola", "train", 8_550, "warning: train has 8,550 rows where 8,551 are known"),
        ("anli", "train_r1+train_r2+train_r3", 16_946 + 45_460 + 100_459, None),
        ("anli", "dev_r1+dev_r2+dev_r3", 3_200, None),
        ("anli", "dev_r1+dev_r2", 3, "warning: dev_r1+dev_r2 has 3 rows where 2,000 are known"),
        ("reddit_tifu", "train#validation", 4_213, None),
        ("cola", "another", 1, None),
    ],
)
def test_another_number_of_rows_than_the_published_is_said(task: str, split: str, rows: int, warning: str | None):
    assert count_warning(task, split, rows) == warning


def test_another_place_or_commit_than_the_first_choice_is_said():
    pin = get_task("snli").origin.places[0].revision
    assert place_warning("snli", f"stanfordnlp/snli@{pin}") is None
    assert place_warning("cola", "nyu-mll/glue@0123") is None
    assert place_warning("snli", "stanfordnlp/snli@0123") == f"warning: the pinned commit {pin} is gone, read 0123"
    moved = place_warning("math_qa", "regisss/math_qa@0123")
    assert moved == f"warning: read from regisss/math_qa instead of allenai/math_qa/{CONVERTED}"


def test_every_dataset_on_the_hub_has_its_splits_rows_and_licence_in_the_catalogue():
    for task in CATALOGUE.values():
        origin = task.origin
        assert origin.licence
        if origin.places:
            for split in (task.train_split, task.evaluation_splits[-1]):
                assert all(origin.known_rows(own) for own in source_splits(split)), (task.key, split)


def test_the_documentation_has_every_dataset_with_its_rows_and_licence():
    lines = Path(__file__).parents[2].joinpath("docs/data.md").read_text(encoding="utf-8").splitlines()
    table = {line.split("|")[1].strip().strip("`"): line for line in lines if line.startswith("| `")}
    assert list(table) == list(CATALOGUE)
    for task in CATALOGUE.values():
        evaluation = next((s for s in task.evaluation_splits if task.origin.known_rows(s)), "")
        whole = task.train_split.partition("#")[0]
        for rows in map(task.origin.known_rows, (whole, evaluation)):
            assert rows is None or f"{rows:,}" in table[task.key], (task.key, rows)
        assert f"| {task.origin.licence} |" in table[task.key]
        for repository in {place.repository for place in task.origin.places if place.repository}:
            assert repository in table[task.key]
