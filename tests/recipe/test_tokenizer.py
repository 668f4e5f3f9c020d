"""Tokenizers in the forms that the backbones come with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from recipe.checkpoint import tokenizer_files
from recipe.data.tokenizer import load_tokenizer, tokenizer_folder
from tests.sentencepiece_folders import write_sentencepiece_folder


@pytest.mark.parametrize(
    ("kind", "pair"),
    [
        ("deberta-v2", "[CLS] ban bat kir[SEP] mus[SEP]"),
        ("xlnet", "ban bat kir<sep> mus<sep><cls>"),
        ("t5", "ban bat kir</s> mus</s>"),
        ("pegasus", "ban bat kir mus</s>"),
    ],
)
def test_a_folder_with_a_sentencepiece_model_alone_gives_a_fast_tokenizer(kind: str, pair: str, tmp_path: Path):
    tokenizer = load_tokenizer(write_sentencepiece_folder(tmp_path, kind))
    assert tokenizer.name_or_path == str(tmp_path)
    encoded: Any = tokenizer("ban  bat kir", "mus", return_offsets_mapping=True)
    assert tokenizer.decode(encoded["input_ids"]) == pair
    second = encoded.char_to_token(1, sequence_index=1)
    assert second is not None and encoded["offset_mapping"][second][1] > 1
    assert tokenizer_folder(tokenizer).startswith(f"unigram{len(tokenizer)}-")


@pytest.mark.parametrize("kind", ["deberta-v2", "xlnet", "t5", "pegasus"])
def test_a_checkpoint_gives_back_the_tokenizer_that_its_store_was_made_with(kind: str, tmp_path: Path):
    """Also from a folder that has both forms, as the Hub's have."""
    tokenizer = load_tokenizer(write_sentencepiece_folder(tmp_path, kind))
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    for number, one in enumerate((tokenizer, load_tokenizer(str(tmp_path)))):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in tokenizer_files(one).items():
            (folder / name).write_text(text, encoding="utf-8")
        restored = load_tokenizer(str(folder))
        assert tokenizer_folder(restored) == tokenizer_folder(one) == tokenizer_folder(tokenizer)
        assert restored.padding_side == ("left" if kind == "xlnet" else "right")
