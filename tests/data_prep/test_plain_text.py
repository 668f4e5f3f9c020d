"""Plain text of one's own becomes a task that masks it, and a task's own text needs no conversion."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep import __main__ as cli
from data_prep import verify
from data_prep.adapters import NoAdapter, get_adapter
from data_prep.sources.derived import part_of
from recipe.data.loader import build_evaluation_data
from recipe.data.microbatch import IGNORE
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer

LINES = [f"The young nurse painted ladder number {number} inside the old village ." for number in range(60)]


def test_lines_of_plain_text_become_examples_to_mask(tmp_path: Path, tiny_tokenizer_folder: str):
    (tmp_path / "raw" / "villages").mkdir(parents=True)
    (tmp_path / "raw" / "villages" / "domain.1.txt").write_text("\n".join(LINES[:40]) + "\n\n", encoding="utf-8")
    (tmp_path / "raw" / "villages" / "domain.2.txt").write_text("\n".join(LINES[40:]), encoding="utf-8")
    (tmp_path / "raw" / "villages" / "train.txt").write_text("Not this.", encoding="utf-8")
    store = str(tmp_path / "store")
    command = [store, "--source", f"local:{tmp_path / 'raw'}", "--tokenizer", tiny_tokenizer_folder]
    assert cli.main([*command, "--tasks", "dapt_villages", "--max-length", "128", "--workers", "1"]) == 0
    assert verify.main([store]) == 0

    tokenizer, texts = load_tokenizer(tiny_tokenizer_folder), []
    for split in ("train", "validation"):
        shards = open_store(store, tokenizer, ["dapt_villages"], split, str(tmp_path / split))
        (data,) = build_evaluation_data(shards, tokenizer, token_budget=512, encoder_decoder=False).values()
        for (microbatch,) in data.dataloader:
            (segment,) = microbatch["segments"]
            originals = segment["originals"]
            read = microbatch["input_ids"]
            assert segment["family"] == "masked_lm" and (originals != IGNORE).any(dim=1).all()
            whole = read.where(originals == IGNORE, originals)
            texts += tokenizer.batch_decode(whole, skip_special_tokens=True)
    kept = [line for line in LINES if part_of(line) != "test"]
    assert sorted(texts) == sorted(kept) and len(kept) > 40


def test_a_tasks_own_text_is_read_from_its_streams():
    with pytest.raises(NoAdapter, match="'tapt_rte' has no data of its own: convert what it reads, --tasks rte"):
        get_adapter("tapt_rte")
