"""The Hub as a source: repositories laid out as there, the real client code, real HTTP on loopback."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pyarrow as pa
import pytest
from huggingface_hub import constants
from huggingface_hub.utils._http import reset_sessions

from data_prep.miniature import generate
from data_prep.sources import SourceError, select
from data_prep.sources.derived import DerivedSplits
from data_prep.sources.hub import HubSource
from recipe.tasks.catalogue import CATALOGUE, get_task
from recipe.tasks.origin import CONVERTED
from tests.data_prep.hub_server import TOKEN, Hub, hub, read

__all__ = ["hub"]


def texts(rows: int, name: str = "text", column: str = "sentence", label: int | None = None) -> pa.Table:
    """``rows`` numbered rows."""
    labels = [i % 2 if label is None else label for i in range(rows)]
    return pa.table({column: [f"{name} {i}" for i in range(rows)], "label": labels})


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
