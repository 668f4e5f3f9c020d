"""Machines that share a bucket and no folder: each run is made once, and all of them have it in the end."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from recipe.protocol import claims
from recipe.protocol.bucket import BucketError
from recipe.protocol.claims import Claims, Taken, wait_for_others
from recipe.protocol.study_config import load_study_config, study_evaluation, study_runs
from recipe.study import prefinetune
from recipe.yaml_keys import ConfigError, save_config
from tests.processes import ROOT, Forked
from tests.s3_server import Bucket, bucket
from tests.tiny_run import write_tiny_study

__all__ = ["bucket"]


SHARED = "s3://bucket/two"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch):
    for name, seconds in (("BEAT_S", 0.05), ("POLL_S", 0.05), ("DEAD_S", 0.5)):
        monkeypatch.setattr(claims, name, seconds)


def test_what_one_machine_has_claimed_another_leaves_until_it_is_done(tmp_path: Path, bucket: Bucket):
    one, other = Claims(SHARED), Claims(SHARED)
    with one.claim("cb/plain/1", tmp_path / "one"):
        before, end = bucket.names("two/claims/"), time.monotonic() + 30
        with pytest.raises(Taken), other.claim("cb/plain/1", tmp_path / "other"):
            pass
        with other.claim("cb/plain/0.1", tmp_path / "third"):
            pass
        while bucket.names("two/claims/") == before:
            assert time.monotonic() < end, "the claim is renewed"
        time.sleep(2 * claims.DEAD_S)
        with pytest.raises(Taken), other.claim("cb/plain/1", tmp_path / "other"):
            pass
    with other.claim("cb/plain/1", tmp_path / "other"):
        pass
    assert not bucket.names("two/claims/")


def test_processes_that_share_a_folder_need_no_bucket(tmp_path: Path):
    with Claims(None).claim("cb", tmp_path / "cb"):
        with pytest.raises(Taken), Claims(None).claim("cb", tmp_path / "cb"):
            pass
        with Claims(None).claim("rte", tmp_path / "rte"):
            pass


def test_of_machines_that_come_at_the_same_moment_only_one_is_at_it(tmp_path: Path, bucket: Bucket):
    machines, at_it, done = 4, [], []

    def work(machine: int) -> None:
        own = Claims(SHARED)
        while True:
            try:
                with own.claim("rte", tmp_path / str(machine)):
                    at_it.append(machine)
                    assert at_it == [machine]
                    time.sleep(0.01)
                    at_it.remove(machine)
                done.append(machine)
                return
            except Taken:
                wait_for_others()

    with ThreadPoolExecutor(machines) as pool:
        list(pool.map(work, range(machines)))
    assert sorted(done) == [0, 1, 2, 3] and not bucket.names("two/claims/")


def test_the_claim_of_a_machine_that_died_is_taken_over(tmp_path: Path, bucket: Bucket):
    bucket.client().put_object(Bucket="bucket", Key="two/claims/cb/5a1e.17", Body=b"")
    own = Claims(SHARED)
    with pytest.raises(Taken), own.claim("cb", tmp_path):
        pass
    time.sleep(2 * claims.DEAD_S)
    with own.claim("cb", tmp_path):
        (name,) = bucket.names("two/claims/cb/")
        assert not name.startswith("5a1e")


def test_a_bucket_that_is_not_there_is_named(tmp_path: Path, bucket: Bucket):
    nowhere = Claims("s3://nowhere/x").claim("cb", tmp_path)
    with pytest.raises(BucketError, match=r"s3://nowhere/x/claims/cb: cannot be .*there is no such bucket"), nowhere:
        pass


@pytest.fixture
def study_yaml(tmp_path: Path, miniature_store: str, tiny_tokenizer_folder: str, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_tiny_study(tmp_path, tiny_tokenizer_folder, miniature_store, name="scale")


def test_two_machines_share_a_study(tmp_path: Path, bucket: Bucket, study_yaml: Path):
    given = ["name=shared", "bucket=s3://bucket/studies"]
    config = load_study_config(study_yaml, given)
    runs = study_runs(config)
    assert runs["tasks_01"].checkpoint_store == "s3://bucket/studies/shared/runs"
    assert study_evaluation(config, runs).bucket == "s3://bucket/studies/shared"

    machines = [tmp_path / "one", tmp_path / "two"]
    for machine in machines:
        machine.mkdir()
    script = str(ROOT / "recipe" / "study.py")
    processes = [Forked(script, str(study_yaml), *given, working=machine) for machine in machines]
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


def test_what_was_finished_before_there_was_a_bucket_is_stored_there(tmp_path: Path, bucket: Bucket, study_yaml: Path):
    runs = study_runs(load_study_config(study_yaml))
    files = {"metrics.jsonl": "", "checkpoints/best-rank0.pt": "weights", "finished.json": "{}"}
    for name, run in runs.items():
        folder = Path(run.runs) / name
        (folder / "checkpoints").mkdir(parents=True)
        for file, text in {**files, "config.yaml": save_config(run)}.items():
            (folder / file).write_text(text)
    shared = study_runs(load_study_config(study_yaml, ["bucket=s3://bucket/late"]))
    prefinetune(shared, ranks=1, shared="s3://bucket/late/scale")
    for name in runs:
        assert set(bucket.names(f"late/scale/runs/{name}/")) == {*files, "config.yaml"}
    assert (Path(runs["tasks_01"].runs) / "tasks_01" / "checkpoints" / "best-rank0.pt").read_text() == "weights"


def test_only_a_bucket_is_one(tmp_path: Path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"name": "x", "bucket": "/shared", "base": "b.yaml"}))
    with pytest.raises(ConfigError, match=r"study\.yaml: bucket: '/shared' is no bucket: expected s3://"):
        load_study_config(tmp_path / "study.yaml")
