"""Summarization: 5 datasets."""

from __future__ import annotations

from recipe.tasks.origin import Place, native, raw, script
from recipe.tasks.task import ROUGE_OF_SENTENCES, Search, pegasus_search, summarization

# BART's published settings (arXiv 1910.13461, fairseq's examples/bart/summarize.py), lengths with the decoder's start
# and the end, which its authors do not count: the released configurations of bart-large-cnn and bart-large-xsum.
_LONG = Search(beams=4, length_penalty=2.0, no_repeat_ngram=3, min_length=56, max_length=142)
_SHORT = Search(beams=6, length_penalty=1.0, no_repeat_ngram=3, min_length=11, max_length=62)

TASKS = (
    summarization(
        "cnn_dailymail",
        native(
            "abisee/cnn_dailymail",
            "3.0.0",
            rows={"train": 287_113, "validation": 13_368, "test": 11_490},
            licence="unclear (news text)",
        ),
        _LONG,
        ROUGE_OF_SENTENCES,
        test_split="test",
    ),
    summarization(
        "billsum",
        native(
            "FiscalNote/billsum",
            rows={"train": 18_949, "test": 3_269, "ca_test": 1_237},
            licence="CC0 1.0",
            revision="3d8510441c06a3d9dfb32eb0d7f80151730bcc4f",
        ),
        pegasus_search(0.6, 256),
        ROUGE_OF_SENTENCES,
        evaluation_splits=("validation", "test"),
    ),
    summarization(
        "xsum",
        native(
            "EdinburghNLP/xsum",
            rows={"train": 204_045, "validation": 11_332, "test": 11_334},
            licence="unclear (BBC text)",
        ),
        _SHORT,
        test_split="test",
    ),
    summarization(
        "aeslc",
        native(
            "Yale-LILY/aeslc",
            rows={"train": 14_436, "validation": 1_960, "test": 1_906},
            licence="CC BY-NC-SA 4.0",
            revision="2305f2e63b68056f9b9037a3805c8c196e0d5581",
        ),
        pegasus_search(0.6, 32),
        test_split="test",
    ),
    summarization(
        "multi_news",
        script(
            "alexfabbri/multi_news",
            "default",
            raw(
                "multi_news",
                {
                    "train": ("data/train.src.cleaned", "data/train.tgt"),
                    "validation": ("data/val.src.cleaned", "data/val.tgt"),
                },
                repository="alexfabbri/multi_news",
            ),
            Place("Awesome075/multi_news_parquet"),
            rows={"train": 44_972, "validation": 5_622, "test": 5_622},
            licence="non-commercial, research use",
        ),
        pegasus_search(0.8, 256),
        ROUGE_OF_SENTENCES,
        test_split="test",
    ),
)
