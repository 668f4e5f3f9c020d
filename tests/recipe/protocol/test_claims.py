"""Machines that share a bucket and no folder: each run is made once, and all of them have it in the end."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread

import pytest
import yaml

from recipe.checkpoint_store import RunStore
from recipe.protocol import claims
from recipe.protocol.bucket import BucketError
from recipe.protocol.claims import Taken, claim
from recipe.protocol.study_config import load_study_config, study_evaluation, study_runs
from recipe.yaml_keys import ConfigError
from tests.processes import ROOT, Forked
from tests.s3_server import Bucket, bucket
from tests.tiny_run import write_tiny_study

__all__ = ["bucket"]


def test_what_one_machine_has_claimed_another_leaves_or_waits_for(tmp_path: Path, bucket: Bucket, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_S", 0.05)
    monkeypatch.setattr(claims, "POLL_S", 0.05)
    store = RunStore("s3://bucket/two/claims", "cb/plain/1")
    ended, waited = Event(), Event()

    def other() -> None:
        with claim(tmp_path / "other", store, wait=True):
            assert ended.is_set()
            waited.set()

    waiting = Thread(target=other, daemon=True)
    with claim(tmp_path / "one", store, wait=False):
        before = bucket.names("two/claims/")
        with pytest.raises(Taken), claim(tmp_path / "other", store, wait=False):
            pass
        with pytest.raises(Taken), claim(tmp_path / "one", None, wait=False):
            pass
        with claim(tmp_path / "third", RunStore("s3://bucket/two/claims", "cb/plain/0.1"), wait=False):
            pass
        waiting.start()
        while bucket.names("two/claims/") == before:
            pass  # the claim is renewed
        ended.set()
    waiting.join(timeout=30)
    assert waited.is_set() and not bucket.names("two/claims/")


def test_the_claim_of_a_machine_that_died_is_taken_over(tmp_path: Path, bucket: Bucket, monkeypatch):
    monkeypatch.setattr(claims, "BEAT_S", 0.05)
    monkeypatch.setattr(claims, "POLL_S", 0.05)
    monkeypatch.setattr(claims, "DEAD_S", 0.5)
    store = RunStore("s3://bucket/dead/claims", "cb")
    bucket.client().put_object(Bucket="bucket", Key="dead/claims/cb/5a1e.17", Body=b"")
    with pytest.raises(Taken), claim(tmp_path, store, wait=False):
        pass
    with claim(tmp_path, store, wait=True):
        (name,) = bucket.names("dead/claims/cb/")
        assert not name.startswith("5a1e")


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, bucket: Bucket):
    nowhere = claim(tmp_path, RunStore("s3://nowhere/x/claims", "cb"), wait=False)
    with pytest.raises(BucketError, match=r"s3://nowhere/x/claims/cb: cannot be .*there is no such bucket"), nowhere:
        pass


def test_two_machines_share_a_study(tmp_path: Path, bucket: Bucket, miniature_store: str, tiny_tokenizer_folder: str):
    keys = {"name": "shared", "bucket": "s3://bucket/studies"}
    path = write_tiny_study(tmp_path, tiny_tokenizer_folder, miniature_store, **keys)
    config = load_study_config(path)
    runs = study_runs(config)
    assert runs["tasks_01"].checkpoint_store == "s3://bucket/studies/shared/runs"
    assert study_evaluation(config, runs).bucket == "s3://bucket/studies/shared"

    machines = [tmp_path / "one", tmp_path / "two"]
    for machine in machines:
        machine.mkdir()
    script = str(ROOT / "recipe" / "study.py")
    processes = [Forked(script, str(path), working=machine) for machine in machines]
    assert [process.wait() for process in processes] == [0, 0], "\n".join(process.output for process in processes)

    folders = [machine / "runs" / "studies" / "shared" for machine in machines]
    trials = [path.relative_to(folders[0]).parent for path in (folders[0] / "evaluation").glob("cb/*/1/*/result.json")]
    assert len(trials) == 3
    for made, log in [(f"runs/{name}", "train.log") for name in runs] + [(str(t), "finetune.log") for t in trials]:
        assert [(folder / made / log).is_file() for folder in folders].count(True) == 1, f"{made} was made once"
    for trial in trials:
        results = [json.loads((folder / trial / "result.json").read_text()) for folder in folders]
        assert results[0] == results[1]
    reports = [(folder / "evaluation" / "report.md").read_text() for folder in folders]
    assert reports[0] == reports[1]
    assert not [name for name in bucket.names("studies/") if "claims/" in name]


def test_only_a_bucket_is_one(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"name": "x", "bucket": "/shared", "base": "b.yaml"}))
    with pytest.raises(ConfigError, match=r"study\.yaml: bucket: '/shared' is no bucket: expected s3://"):
        load_study_config(tmp_path / "study.yaml")
