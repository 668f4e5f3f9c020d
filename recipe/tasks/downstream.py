"""Downstream only: what a pre-finetuned model is fine-tuned and tested on, never part of the 46."""

from __future__ import annotations

from typing import Any

from recipe.tasks.classification import glue
from recipe.tasks.origin import Origin, Place, licensed, native, raw, script
from recipe.tasks.task import (
    ACCURACY,
    NLI,
    ROUGE_OF_SENTENCES,
    Family,
    Task,
    classification,
    mrc,
    pegasus_search,
    summarization,
)

# The 36 word tags and 9 punctuation tags of the Penn Treebank (Marcus et al. 1993), brackets as its trees write them.
_PTB_TAGS = (
    "CC", "CD", "DT", "EX", "FW", "IN", "JJ", "JJR", "JJS", "LS", "MD", "NN", "NNP", "NNPS", "NNS", "PDT", "POS", "PRP",
    "PRP$", "RB", "RBR", "RBS", "RP", "SYM", "TO", "UH", "VB", "VBD", "VBG", "VBN", "VBP", "VBZ", "WDT", "WP", "WP$",
    "WRB", "#", "$", "''", ",", "-LRB-", "-RRB-", ".", ":", "``",
)  # fmt: skip
_CHEMPROT = (
    "ACTIVATOR", "AGONIST", "AGONIST-ACTIVATOR", "AGONIST-INHIBITOR", "ANTAGONIST", "DOWNREGULATOR",
    "INDIRECT-DOWNREGULATOR", "INDIRECT-UPREGULATOR", "INHIBITOR", "PRODUCT-OF", "SUBSTRATE", "SUBSTRATE_PRODUCT-OF",
    "UPREGULATOR",
)  # fmt: skip
_ONE_SPLIT: dict[str, Any] = {
    "train_split": "train#train",
    "evaluation_splits": ("train#validation",),
    "test_split": "train#test",
}
_CHUNKS = ("ADJP", "ADVP", "CONJP", "INTJ", "LST", "NP", "PP", "PRT", "SBAR", "UCP", "VP")
_DONT_STOP_PRETRAINING = "https://s3-us-west-2.amazonaws.com/allennlp/dont_stop_pretraining/data/"
_CONLL2000 = "https://github.com/teropa/nlp/raw/master/resources/corpora/conll2000/"


def _scientific_papers(archive: str, train: int, validation: int, test: int) -> Origin:
    config = archive.lower()
    return script(
        "armanc/scientific_papers",
        config,
        Place(f"ccdv/{config}-summarization", "section"),
        rows={"train": train, "validation": validation, "test": test},
        licence=f"unclear ({archive} papers)",
    )


def _dont_stop_pretraining(folder: str, train: int, dev: int, test: int, licence: str) -> Origin:
    """The files that "Don't Stop Pretraining" (arXiv 2004.10964) published, which TARTAN (arXiv 2109.07437) uses."""
    rows = {"train": train, "dev": dev, "test": test}
    files = {split: (f"{_DONT_STOP_PRETRAINING}{folder}/{split}.jsonl",) for split in rows}
    return Origin((raw("json_lines", files),), rows, licence)


_ANLI = native(
    "facebook/anli",
    "plain_text",
    rows={
        "train_r1": 16_946,
        "train_r2": 45_460,
        "train_r3": 100_459,
        "dev_r1": 1_000,
        "dev_r2": 1_000,
        "dev_r3": 1_200,
        "test_r1": 1_000,
        "test_r2": 1_000,
        "test_r3": 1_200,
    },
    licence="CC BY-NC 4.0",
    revision="8e4813d81f46d313dac7892e1c28076917cfcdf9",
)

TASKS = (
    Task(
        "stsb",
        Family.REGRESSION,
        glue("stsb", 5_749, 1_500, 1_379, "mixed, mostly CC BY-SA"),
        ("pearson", "spearman"),
        test_split="test",
        prefinetune=False,
        score_range=(0.0, 5.0),
    ),
    classification(
        "anli",
        _ANLI,
        NLI,
        ("accuracy", "accuracy_r1", "accuracy_r2", "accuracy_r3"),
        train_split="train_r1+train_r2+train_r3",
        evaluation_splits=("dev_r1+dev_r2+dev_r3",),
        test_split="test_r1+test_r2+test_r3",
        prefinetune=False,
        grouped=True,
    ),
    *(
        classification(
            f"anli_r{number}",
            _ANLI,
            NLI,
            train_split=f"train_r{number}",
            evaluation_splits=(f"dev_r{number}",),
            test_split=f"test_r{number}",
            prefinetune=False,
        )
        for number in (1, 2)
    ),
    classification(
        "fever_nli",
        native("pietrolesci/nli_fever", rows={"train": 208_346, "dev": 19_998, "test": 19_998}, licence="CC BY-SA 3.0"),
        NLI,
        evaluation_splits=("dev",),
        prefinetune=False,
    ),
    classification(
        "citation_intent",
        _dont_stop_pretraining("citation_intent", 1_688, 114, 139, "unclear (ACL-ARC, research use)"),
        ("Background", "CompareOrContrast", "Extends", "Future", "Motivation", "Uses"),
        ("macro_f1", "accuracy"),
        evaluation_splits=("dev",),
        test_split="test",
        prefinetune=False,
    ),
    classification(
        "sciie",
        _dont_stop_pretraining("sciie", 3_219, 455, 974, "unclear (SciERC, research use)"),
        ("COMPARE", "CONJUNCTION", "EVALUATE-FOR", "FEATURE-OF", "HYPONYM-OF", "PART-OF", "USED-FOR"),
        ("macro_f1", "accuracy"),
        evaluation_splits=("dev",),
        test_split="test",
        prefinetune=False,
    ),
    classification(
        "chemprot",
        _dont_stop_pretraining("chemprot", 4_169, 2_427, 3_469, "unclear (BioCreative VI, research use)"),
        _CHEMPROT,
        ("accuracy", "macro_f1"),  # its papers report micro F1, which is accuracy where every example has one class
        evaluation_splits=("dev",),
        test_split="test",
        prefinetune=False,
    ),
    classification(
        "hyperpartisan",
        _dont_stop_pretraining("hyperpartisan_news", 515, 65, 65, "CC BY 4.0"),
        ("false", "true"),
        ("accuracy", "macro_f1"),
        evaluation_splits=("dev",),
        test_split="test",
        prefinetune=False,
    ),
    mrc(
        "squad_v2",
        native("rajpurkar/squad_v2", "squad_v2", rows={"train": 130_319, "validation": 11_873}, licence="CC BY-SA 4.0"),
        prefinetune=False,
        has_unanswerable=True,
    ),
    summarization(
        "gigaword",
        script(
            "Harvard/gigaword",
            "default",
            Place("SalmanFaroz/gigaword", columns={"document": "article"}),
            rows={"train": 3_803_957, "validation": 189_651, "test": 1_951},
            licence="unclear (LDC news text)",
        ),
        pegasus_search(0.6, 32),
        test_split="test",
        prefinetune=False,
    ),
    summarization(
        "reddit_tifu",
        script(
            "ctr4si/reddit_tifu",
            "long",
            rows={"train": 42_139},
            licence="MIT",
        ),
        pegasus_search(0.6, 128),
        prefinetune=False,
        **_ONE_SPLIT,
    ),
    summarization(
        "arxiv_summarization",
        _scientific_papers("arXiv", 203_037, 6_436, 6_440),
        pegasus_search(0.8, 256),
        ROUGE_OF_SENTENCES,
        test_split="test",
        prefinetune=False,
    ),
    summarization(
        "pubmed_summarization",
        _scientific_papers("PubMed", 119_924, 6_633, 6_658),
        pegasus_search(0.8, 256),
        ROUGE_OF_SENTENCES,
        test_split="test",
        prefinetune=False,
    ),
    summarization(
        "big_patent",
        native(
            "NortheasternUniversity/big_patent",
            "all",
            rows={"train": 1_207_222, "validation": 67_068, "test": 67_072},
            licence="CC BY 4.0",
            streamed=True,
        ),
        pegasus_search(0.7, 256),
        ROUGE_OF_SENTENCES,
        test_split="test",
        prefinetune=False,
    ),
    Task(
        "conll2000_chunking",
        Family.TAGGING,
        script(
            "eriktks/conll2000",
            "conll2000",
            raw("conll2000", {"train": (f"{_CONLL2000}train.txt",), "test": (f"{_CONLL2000}test.txt",)}),
            rows={"train": 8_937, "test": 2_013},
            licence="unclear (WSJ)",
        ),
        ("chunk_f1",),
        labels=("O", *(f"{mark}-{chunk}" for chunk in _CHUNKS for mark in "BI")),
        evaluation_splits=("test",),
        prefinetune=False,
    ),
    # Licensed, so the Hub has no copy: python -m data_prep.treebank reads one's own.
    Task(
        "ptb_pos",
        Family.TAGGING,
        licensed("LDC licence"),
        ACCURACY,
        test_split="test",
        labels=_PTB_TAGS,
        prefinetune=False,
    ),
    Task("ptb_parsing", Family.TAGGING, licensed("LDC licence"), ("bracket_f1",), test_split="test", prefinetune=False),
)
