"""Folders of SentencePiece tokenizers in the forms that the backbones come with, of a vocabulary made up here."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import sentencepiece

WORDS = [first + vowel + last for first in "bdgklm" for vowel in "aeiou" for last in "nrst"]
_FIRST = ("pad", "bos", "eos", "unk")  # what the trainer names; each kind's first ids, and the symbols after them
_KINDS: dict[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "deberta-v2": (
        "DebertaV2Tokenizer",
        {"pad": "[PAD]", "bos": "[CLS]", "eos": "[SEP]", "unk": "[UNK]"},
        ("[MASK]",),
    ),
    "xlnet": ("XLNetTokenizer", {"unk": "<unk>", "bos": "<s>", "eos": "</s>"}, ("<cls>", "<sep>", "<pad>", "<mask>")),
    "t5": ("T5Tokenizer", {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, ()),
    "pegasus": ("PegasusTokenizer", {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, ()),
}


def write_sentencepiece_folder(folder: Path, kind: str) -> str:
    """What ``AutoTokenizer`` loads as the tokenizer of a ``model_type``: its SentencePiece model, no tokenizer.json."""
    drawn = random.Random(0)
    text = folder / "text"
    text.write_text("\n".join(" ".join(drawn.choices(WORDS, k=12)) for _ in range(800)))
    tokenizer, pieces, symbols = _KINDS[kind]
    special: dict[str, Any] = {f"{name}_id": -1 for name in _FIRST}
    special |= {f"{name}_id": number for number, name in enumerate(pieces)}
    special |= {f"{name}_piece": piece for name, piece in pieces.items()}
    name = "spm" if kind == "deberta-v2" else "spiece"
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(folder / name),
        vocab_size=120,
        user_defined_symbols=",".join(symbols),
        minloglevel=2,
        **special,
    )
    settings = {"tokenizer_class": tokenizer, "do_lower_case": False, "vocab_type": "spm"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    return str(folder)
