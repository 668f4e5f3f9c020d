"""Tokenizers in the forms that the backbones come with."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import sentencepiece

from recipe.data.tokenizer import load_tokenizer, tokenizer_folder


def test_a_deberta_folder_with_a_sentencepiece_model_alone_gives_a_fast_tokenizer(tmp_path: Path):
    words = [first + vowel + last for first in "bdgklm" for vowel in "aeiou" for last in "nrst"]
    drawn = random.Random(0)
    text = tmp_path / "text"
    text.write_text("\n".join(" ".join(drawn.choices(words, k=12)) for _ in range(800)))
    names = ("pad", "bos", "eos", "unk")
    special: dict[str, Any] = {f"{name}_id": number for number, name in enumerate(names)}
    special |= {f"{name}_piece": piece for name, piece in zip(names, ("[PAD]", "[CLS]", "[SEP]", "[UNK]"), strict=True)}
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=120,
        user_defined_symbols=["[MASK]"],
        minloglevel=2,
        **special,
    )
    settings = {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": False, "vocab_type": "spm"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "deberta-v2"}))

    tokenizer = load_tokenizer(str(tmp_path))
    encoded: Any = tokenizer("ban  bat kir", "mus", return_offsets_mapping=True)
    assert tokenizer.decode(encoded["input_ids"]) == "[CLS] ban bat kir[SEP] mus[SEP]"
    second = encoded.char_to_token(1, sequence_index=1)
    assert second is not None and encoded["offset_mapping"][second][1] > 1
    assert tokenizer_folder(tokenizer).startswith("unigram120-")
