"""An S3 server on loopback, for tests of stores in a bucket."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import boto3
import pytest
from moto.server import ThreadedMotoServer


class Bucket:
    """A bucket on a server that can be stopped and started again with all that it holds."""

    def __init__(self) -> None:
        self.server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self.server.start()
        _, self.port = self.server.get_host_and_port()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self):
        return boto3.client("s3", endpoint_url=self.endpoint)

    def content(self, prefix: str) -> dict[str, bytes]:
        """Every object whose key starts with ``prefix``, by the rest of its key."""
        client = self.client()
        return {
            name: client.get_object(Bucket="bucket", Key=prefix + name)["Body"].read() for name in self.names(prefix)
        }

    def names(self, prefix: str) -> list[str]:
        """The keys of those objects, without the prefix."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
        return [entry["Key"].removeprefix(prefix) for page in pages for entry in page.get("Contents", ())]

    def restart(self) -> None:
        self.server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.server.start()


class RequestCount(logging.Handler):
    """Counts what the servers of this process are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        logging.getLogger("werkzeug").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


def forget_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on clients in this process find no credentials anywhere."""
    from recipe.data import objects

    objects._uploader.cache_clear()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket named ``bucket``, found by this process's S3 clients; it keeps what earlier tests put there."""
    from recipe.data import objects, remote

    opened = Bucket()
    monkeypatch.setenv("S3_ENDPOINT_URL", opened.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # no long waits where a test has stopped the server
    objects._uploader.cache_clear()  # the clients of an earlier test's server
    remote._idle.clear()
    opened.client().create_bucket(Bucket="bucket")
    yield opened
    opened.server.stop()
