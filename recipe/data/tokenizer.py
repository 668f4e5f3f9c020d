"""Tokenizers: loading a fast one, and naming what it does so that shards of equal tokenizers can be shared."""

from __future__ import annotations

import hashlib
import json
import os
import re
from tempfile import TemporaryDirectory
from typing import Any, cast

from transformers import AutoTokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast
from transformers.utils.hub import has_file

from recipe.errors import UserError

TOKENIZER_FOLDER = re.compile(r"[a-z]+(\d+)-([0-9a-f]{8})")  # what :func:`tokenizer_folder` returns


class TokenizerError(UserError):
    """A tokenizer that cannot be loaded or cannot be used."""


def load_tokenizer(path_or_name: str) -> PreTrainedTokenizerFast:
    """The fast tokenizer in a folder (as ``save_pretrained`` leaves it) or on the Hugging Face Hub.

    Raises:
        TokenizerError: Not found, or there is no fast version of it.
    """
    path = os.path.expanduser(path_or_name)
    try:
        tokenizer = _load(path)
    except (OSError, ValueError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TokenizerError(
            f"tokenizer {path_or_name!r}: cannot be loaded ({cause}); "
            "give a folder written by save_pretrained or a name on the Hub"
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TokenizerError(
            f"tokenizer {path_or_name!r}: has no fast version ({type(tokenizer).__name__} has no character offsets); "
            "use a model whose folder has a tokenizer.json"
        )
    return tokenizer if has_file(path, "tokenizer.json") else _saved_and_loaded(tokenizer)


def _load(path: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(path, use_fast=True, trust_remote_code=False, truncation_side="right")


def _saved_and_loaded(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A tokenizer made from its slow form's file as checkpoints and exports will give it back: not quite the same."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder, legacy_format=False)
        loaded = cast(PreTrainedTokenizerFast, _load(folder))
    loaded.name_or_path = tokenizer.name_or_path
    return loaded


def fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Hex SHA-256 of what the tokenizer does to text.

    Vocabulary, merges, normalizer, pre-tokenizer, template and special token ids count; its name, and the truncation
    and padding that its last call left behind, do not.
    """
    pipeline = _pipeline(tokenizer)
    for state in ("version", "truncation", "padding"):
        pipeline.pop(state, None)
    merges = pipeline["model"].get("merges")
    if merges:  # a pair is written as "a b" or as ["a", "b"], depending on the version of the library
        pipeline["model"]["merges"] = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    special = {name: tokenizer.convert_tokens_to_ids(token) for name, token in tokenizer.special_tokens_map.items()}
    behaviour = json.dumps({"pipeline": pipeline, "special": special}, sort_keys=True)
    return hashlib.sha256(behaviour.encode()).hexdigest()


def tokenizer_folder(tokenizer: PreTrainedTokenizerFast) -> str:
    """The store's folder for a tokenizer: kind, vocabulary size and fingerprint, such as ``bpe50265-1a2b3c4d``."""
    kind = _pipeline(tokenizer)["model"]["type"].lower()
    return f"{kind}{len(tokenizer)}-{fingerprint(tokenizer)[:8]}"


def parse_tokenizer_folder(name: str) -> tuple[int, str]:
    """``bpe50265-1a2b3c4d`` -> the vocabulary's size and the start of the tokenizer's fingerprint.

    Raises:
        ValueError: The name is not one that :func:`tokenizer_folder` gives.
    """
    match = TOKENIZER_FOLDER.fullmatch(name)
    if not match:
        raise ValueError(f"{name}: is no tokenizer's folder of a store")
    return int(match[1]), match[2]


def _pipeline(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return json.loads(tokenizer.backend_tokenizer.to_str())
