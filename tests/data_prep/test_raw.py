"""Files that are not Parquet, read from their own site or repository: each format becomes rows of the Hub's columns."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace

import pytest

from data_prep.sources.hub import HubSource
from recipe.tasks.catalogue import CATALOGUE, get_task
from recipe.tasks.origin import Place
from tests.data_prep.hub_server import Hub, hub, read

__all__ = ["hub"]


def change_origin(monkeypatch: pytest.MonkeyPatch, task: str, *places: Place, rows: Mapping[str, int]) -> None:
    origin = replace(get_task(task).origin, places=places, rows=rows)
    monkeypatch.setitem(CATALOGUE, task, replace(get_task(task), origin=origin))


def put(hub: Hub, name: str, content: bytes | str) -> str:
    hub.add("raw", name, content, revision="")
    return f"{hub.url}/raw/{name}"


def test_hans(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    head = "gold_label\tb1\tb2\tp1\tp2\tsentence1\tsentence2\tpairID\theuristic\tsubcase\ttemplate\n"
    row = "{}\t( b )\t( b )\t(p)\t(p)\tThe doctor paid .\tThe actor paid .\tex0\tlexical_overlap\tle_x\ttemp1\n"
    text = head + row.format("non-entailment") + row.format("entailment") + row.format("-")
    files = {split: (put(hub, f"{split}.txt", text),) for split in ("train", "validation")}
    place = Place("", files=files, reader="hans")
    change_origin(monkeypatch, "hans", Place("jhu-cogsci/hans"), place, rows={"train": 2, "validation": 2})
    source = HubSource()
    assert source.revision("hans").startswith(f"{hub.url}/raw/train.txt@")
    rows = read(source, "hans", "train", ("premise", "hypothesis", "label"))
    pair = {"premise": "The doctor paid .", "hypothesis": "The actor paid ."}
    assert rows == [{**pair, "label": 1}, {**pair, "label": 0}]


def test_eraser_multi_rc(hub: Hub, monkeypatch: pytest.MonkeyPatch):
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
    url = put(hub, "multirc.tar.gz", buffer.getvalue())
    place = Place("", files={"train": (url,), "validation": (url,)}, reader="eraser_multi_rc")
    change_origin(monkeypatch, "eraser_multi_rc", place, rows={"train": 1, "validation": 1})
    source = HubSource()
    assert read(source, "eraser_multi_rc", "train", ("passage", "query_and_answer", "label")) == [
        {"passage": "Ann did it .\nBob did not .", "query_and_answer": "Who ? || Ann", "label": 1}
    ]
    assert read(source, "eraser_multi_rc", "validation", ("label",)) == [{"label": 0}]


def test_multi_news_is_read_from_the_text_files_of_its_own_repository(hub: Hub):
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


def test_json_lines(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    text = '{"text": "Fair enough.", "label": "false", "id": 1}\n{"text": "Outrage!", "label": "true", "id": 2}\n'
    files = {split: (put(hub, f"{split}.jsonl", text),) for split in ("train", "dev", "test")}
    change_origin(
        monkeypatch, "hyperpartisan", Place("", files=files, reader="json_lines"), rows=dict.fromkeys(files, 2)
    )
    source = HubSource()
    assert source.splits("hyperpartisan") == ["dev", "test", "train"]
    rows = read(source, "hyperpartisan", "dev", ("text", "label"))
    assert rows == [{"text": "Fair enough.", "label": 0}, {"text": "Outrage!", "label": 1}]


def test_conll2000(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    text = "He PRP B-NP\nreckons VBZ B-VP\n. . O\n\nYes UH B-INTJ\n"
    files = {split: (put(hub, f"{split}.txt", text),) for split in ("train", "test")}
    change_origin(
        monkeypatch, "conll2000_chunking", Place("", files=files, reader="conll2000"), rows={"train": 2, "test": 2}
    )
    rows = read(HubSource(), "conll2000_chunking", "train", ("tokens", "chunk_tags"))
    labels = get_task("conll2000_chunking").labels
    assert [[labels[tag] for tag in row["chunk_tags"]] for row in rows] == [["B-NP", "B-VP", "O"], ["B-INTJ"]]
    assert rows[0]["tokens"] == ["He", "reckons", "."]


def test_files_of_another_kind_are_named(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    files = {split: (put(hub, f"{split}.txt", "<html>\nmoved\n"),) for split in ("train", "validation")}
    change_origin(monkeypatch, "hans", Place("", files=files, reader="hans"), rows={"train": 2, "validation": 2})
    with pytest.raises(ValueError, match=r"hans: /\S+/downloads/\w+: not what the hans reader expects"):
        HubSource().revision("hans")
