"""A Hub on loopback: dataset repositories that are folders, spoken to by the real client code over real HTTP.

``<root>/<namespace>/<name>/<revision>/<file>``: a revision is ``main``, ``refs/convert/parquet`` or a commit; a
branch's commit follows from its files. ``<root>/raw/<file>`` are files of another site.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import config as datasets_config
from huggingface_hub import constants
from huggingface_hub.utils._http import reset_sessions

from data_prep.sources import Source
from recipe.tasks.origin import CONVERTED

TOKEN = "hf_of_the_test"


@dataclass
class Hub:
    """The repositories, and what was asked of the server."""

    root: Path
    url: str = ""
    private: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    sent: int = 0  # bytes of bodies

    def add(
        self, repository: str, path: str, content: pa.Table | bytes | str, revision: str = "main", **options
    ) -> Path:
        """Put a file into a repository: a table becomes Parquet."""
        file = self.root / repository / revision / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, file, **options)
        else:
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def add_card(self, repository: str, configs: dict[str, dict[str, str]], revision: str = "main") -> None:
        """A README that names configurations: splits and their globs."""
        entries = [
            {"config_name": name, "data_files": [{"split": split, "path": glob} for split, glob in files.items()]}
            for name, files in configs.items()
        ]
        self.add(repository, "README.md", f"---\nconfigs: {json.dumps(entries)}\n---\n", revision)

    def folder(self, repository: str, revision: str) -> Path | None:
        """The folder of a branch or a commit."""
        for name in ("main", CONVERTED, *self._commits(repository)):
            folder = self.root / repository / name
            if folder.is_dir() and revision in (name, self.commit(repository, name)):
                return folder
        return None

    def _commits(self, repository: str) -> list[str]:
        return [path.name for path in (self.root / repository).iterdir() if re.fullmatch("[0-9a-f]{40}", path.name)]

    def commit(self, repository: str, revision: str = "main") -> str:
        """The commit of a revision."""
        if re.fullmatch("[0-9a-f]{40}", revision):
            return revision
        folder = self.root / repository / revision
        content = [(str(path.relative_to(folder)), _digest(path)) for path in _files(folder)]
        return hashlib.sha1(repr((repository, revision, content)).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))

    def _answer(self, form: dict[str, list[str]] | None = None) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        if match := re.fullmatch(r"/raw/(.+)", path):
            file = self.hub.root / "raw" / match[1]
            self._file(file, {}) if file.is_file() else self._send(404)
        elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/(refs/convert/parquet|[^/]+)/(.+)", path):
            self._resolve(*match.groups())
        elif match := re.fullmatch(
            r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/(refs/convert/parquet|[^/]+)/?(.*))?", path
        ):
            self._api(match[1], match[2] or "revision", match[3] or "main", match[4] or "", form)
        else:
            self._send(404)

    def _folder(self, repository: str, revision: str) -> Path | None:
        """The revision's folder; sends what is wrong where there is none."""
        missing = not (self.hub.root / repository).is_dir()
        if missing or (repository in self.hub.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            self._send(401, headers={"X-Error-Code": "RepoNotFound"})  # the Hub does not tell one from the other
            return None
        folder = self.hub.folder(repository, revision)
        if folder is None:
            self._send(404, headers={"X-Error-Code": "RevisionNotFound"})
        return folder

    def _resolve(self, repository: str, revision: str, name: str) -> None:
        folder = self._folder(repository, revision)
        if folder is None:
            return
        commit = self.hub.commit(repository, str(folder.relative_to(self.hub.root / repository)))
        if (folder / name).is_file():
            self._file(folder / name, {"X-Repo-Commit": commit})
        else:
            self._send(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})

    def _file(self, file: Path, headers: dict[str, str]) -> None:
        body = file.read_bytes()
        headers |= {"ETag": f'"{_digest(file)}"', "Accept-Ranges": "bytes"}
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, stop = int(match[1]), min(int(match[2] or len(body)), len(body) - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
            self._send(206, body[start:stop], headers)
        else:
            self._send(200, body, headers)

    def _api(self, repository: str, what: str, revision: str, inside: str, form: dict[str, list[str]] | None) -> None:
        folder = self._folder(repository, revision)
        if folder is None:
            return
        commit = self.hub.commit(repository, str(folder.relative_to(self.hub.root / repository)))
        names = [str(path.relative_to(folder)) for path in _files(folder)]
        if what == "revision":
            self._json({"id": repository, "sha": commit, "siblings": [{"rfilename": name} for name in names]})
        elif what == "paths-info":
            wanted = (form or {}).get("paths", [])
            self._json([_entry(folder, name) for name in wanted if (folder / name).exists()])
        elif not (folder / inside).is_dir():
            self._send(404, headers={"X-Error-Code": "EntryNotFound"})
        else:
            recursive = "recursive=true" in self.path.lower()
            found = (folder / inside).rglob("*") if recursive else (folder / inside).iterdir()
            self._json([_entry(folder, str(path.relative_to(folder))) for path in sorted(found)])

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
            self.hub.sent += len(body)


def _entry(folder: Path, name: str) -> dict[str, object]:
    path = folder / name
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    return {"type": "file", "path": name, "oid": _digest(path), "size": path.stat().st_size}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty Hub, which this process takes for the Hub, with caches of its own."""
    hub = Hub(tmp_path / "hub")
    hub.root.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    # What HF_ENDPOINT and HF_HOME set, which the libraries read when they are imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache" / "hub"))
    monkeypatch.setattr(datasets_config, "HF_ENDPOINT", hub.url)
    monkeypatch.setattr(datasets_config, "HF_DATASETS_CACHE", str(tmp_path / "cache" / "datasets"))
    monkeypatch.setattr(datasets_config, "DOWNLOADED_DATASETS_PATH", tmp_path / "cache" / "downloads")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets_config, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    reset_sessions()
    yield hub
    reset_sessions()
    server.shutdown()
    server.server_close()


def read(source: Source, task: str, split: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """All rows of a split, whatever the source's batches."""
    return [row for rows in source.read(task, split, columns) for row in rows]
