"""What a finished stream of the shard store says about itself, and the columns that its shards hold."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from recipe.tasks.catalogue import Family

VERSION = 2  # of the stored format: raise it when columns or manifest change their meaning
SPLITS = ("train", "validation", "test")
TRAINING_SPLITS = ("train", "validation")  # what every task has and a training run reads
WITHHELD = -1  # the label of a test example that the dataset's owners keep to themselves
MANIFEST, LENGTHS, INDEX = "manifest.json", "lengths.npy", "index.json"


@dataclass(frozen=True)
class Manifest:
    """The provenance and the counts of one stream: one task, one split.

    Attributes:
        version: The stored format's version.
        task: Key in the catalogue; ``family`` its family.
        split: One of :data:`SPLITS`; ``source_split`` the name it has in the source.
        source: Kind of source; ``revision`` identifies the content that was read.
        tokenizer: What ``--tokenizer`` was; ``fingerprint`` what it does (:func:`recipe.data.tokenizer.fingerprint`).
        labels: The task's class names when it was converted, or those its training split holds
            (:attr:`recipe.tasks.catalogue.Task.has_open_labels`).
        max_length: Most tokens of a row; ``max_target_length`` of a target.
        stride: Tokens that neighbouring windows share; ``train_windows`` the most windows of a training example.
        limit: Most rows taken from the source, evenly spaced (of a streamed dataset the first), or None for all.
        read: Source rows taken; ``written`` examples in the shards; ``dropped`` counts of the others by reason.
        tokens: Real tokens of all rows and targets together; ``rows`` the number of rows.
        files: SHA-256 of the stream's other small files by name; the index has the shards' own hashes.
        unlabelled: Those of the examples whose target is withheld (test splits of benchmarks).
    """

    version: int
    task: str
    family: str
    split: str
    source: str
    source_split: str
    revision: str
    tokenizer: str
    fingerprint: str
    labels: tuple[str, ...]
    max_length: int
    max_target_length: int
    stride: int
    train_windows: int
    limit: int | None
    read: int
    written: int
    dropped: dict[str, int]
    tokens: int
    rows: int
    files: dict[str, str] = field(default_factory=dict)
    unlabelled: int = 0

    @property
    def short_revision(self) -> str:
        """The first digits of each digest and commit in it; the names of places and files stay."""
        return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{28,52}\b", r"\1", self.revision)

    def to_json(self) -> str:
        """The fields and their seal, the SHA-256 of their JSON. There is one way to write a manifest."""
        return _sealed(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Raises ``ValueError`` where the text is not, to the byte, what :meth:`to_json` wrote."""
        values = json.loads(text)
        names = {field.name for field in fields(cls)}
        older = names - {"unlabelled"}  # written before there were test splits
        if not isinstance(values, dict) or set(values) - {"seal"} not in (names, older) or "seal" not in values:
            raise ValueError(f"expected an object with exactly the keys {sorted(names | {'seal'})}")
        del values["seal"]
        if text != _sealed(values):
            raise ValueError("its seal does not fit its content: it was changed after it was written")
        return cls(**{**values, "labels": tuple(values["labels"])})

    def settings(self) -> dict[str, Any]:
        """What decides the stream's content: streams with equal settings need not be converted again."""
        outcome = {"tokenizer", "read", "written", "dropped", "tokens", "rows", "files", "unlabelled"}
        return {name: value for name, value in asdict(self).items() if name not in outcome}

    def check_files(self, contents: dict[str, bytes]) -> None:
        """Raises ``ValueError`` where index or lengths are not, to the byte, those that were sealed."""
        for name in (INDEX, LENGTHS):
            if self.files.get(name) != _sha256(contents[name]):
                raise ValueError(f"{name} does not have the hash that {MANIFEST} says")


def write_manifest(folder: str, manifest: Manifest) -> Manifest:
    """Seal and write the manifest of a stream whose other files are complete.

    From then on every changed byte is found out: the manifest holds its own hash and those of index and lengths, the
    index those of the shards.
    """
    hashes = {}
    for name in (INDEX, LENGTHS):
        with open(os.path.join(folder, name), "rb") as file:
            hashes[name] = _sha256(file.read())
    sealed = replace(manifest, files=hashes)
    with open(os.path.join(folder, MANIFEST), "w", encoding="utf-8") as file:
        file.write(sealed.to_json())
    return sealed


def _sealed(values: dict[str, Any]) -> str:
    seal = _sha256(json.dumps(values, sort_keys=True).encode())
    return json.dumps({**values, "seal": seal}, indent=2, sort_keys=True) + "\n"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def token_dtype(vocabulary: int) -> str:
    """The smallest unsigned type that holds every token id."""
    return "uint16" if vocabulary <= 1 << 16 else "uint32"


def columns(family: Family, split: str, token_dtype: str) -> dict[str, str]:
    """MDS encoding of every column of a stream; one sample is one example with all its R rows.

    ``tokens`` (sum of row lengths,): the rows' ids one after another, special tokens included.
    ``row_lengths`` (R,); ``second`` (R,): the token where the row's second text starts, the row's length without one;
    token types are 1 from there on.

    - classification, commonsense: ``label``, the class or the right choice.
    - mrc: ``spans`` (R, 2) first and last answer token, both 0 where the window has no answer;
      ``context`` (R, 2) [start, stop) of the context's tokens in the row.
    - summarization: ``target`` (T,) as the tokenizer builds a sequence.
    - regression: ``score``.
    - masked_lm: nothing; tokens are masked when they are read.
    - tagging: ``words`` (W,) each word's first token in the row; ``labels`` (W,) each word's class, -1 for one that is
      not in the manifest's ``labels`` (the training split does not hold it: nothing can learn or predict it).

    Validation and test add ``reference``, what the metrics need: classification ``{"group": str}``, commonsense,
    masked_lm and regression ``{}``, mrc ``{"answers": [str], "context": str}``, summarization ``{"summary": str}``,
    tagging ``{"tags": [str], "tree": str}`` (a bracketed tree for parsing, else empty); and for mrc ``offsets`` (sum of
    row lengths, 2): characters of the context that a token stands for, else (0, 0).

    In a test split the target of an example may be withheld: then ``label`` is -1, ``score`` NaN, ``answers`` null and
    every span (0, 0). Where the benchmark has a leaderboard the reference also has ``index``, its number there.
    """
    own: dict[Family, dict[str, str]] = {
        Family.CLASSIFICATION: {"label": "int"},
        Family.COMMONSENSE: {"label": "int"},
        Family.MRC: {"spans": "ndarray:int32", "context": "ndarray:int32"},
        Family.SUMMARIZATION: {"target": f"ndarray:{token_dtype}"},
        Family.REGRESSION: {"score": "float32"},
        Family.TAGGING: {"words": "ndarray:int32", "labels": "ndarray:int32"},
        Family.MASKED_LM: {},
    }
    every = {"tokens": f"ndarray:{token_dtype}", "row_lengths": "ndarray:int32", "second": "ndarray:int32"}
    evaluation: dict[str, str] = {}
    if split != "train":
        evaluation = {"reference": "json", **({"offsets": "ndarray:int32"} if family is Family.MRC else {})}
    return every | own[family] | evaluation
