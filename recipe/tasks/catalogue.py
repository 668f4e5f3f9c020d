"""The one place that lists the tasks: what each dataset is as a learning problem.

Everything else asks the catalogue. Facts (labels in the Hub's integer order, configurations, splits) come from the
datasets' cards and loading scripts; the 46 pre-finetuning tasks are those of MUPPET (arXiv 2101.11038, appendix).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import Enum
from typing import Any

from recipe.errors import UserError


class Family(str, Enum):
    """How a task is learned: its head and its loss follow from the family (MUPPET, section 3)."""

    CLASSIFICATION = "classification"  # one head per task, cross entropy
    COMMONSENSE = "commonsense"  # one shared head scores each choice, softmax over an example's choices
    MRC = "mrc"  # one shared span head, start and end cross entropies over a window's valid positions
    SUMMARIZATION = "summarization"  # the decoder itself, label-smoothed cross entropy over target tokens
    REGRESSION = "regression"  # downstream only (STS-B)
    TAGGING = "tagging"  # downstream only (chunking, POS, parsing as tagging)


@dataclass(frozen=True)
class Task:
    """One dataset seen as a learning problem.

    Attributes:
        key: The name used in YAMLs, store folders and reports.
        family: Decides head and loss.
        hub: Hub repository, empty where the Hub has no copy; ``config`` its configuration.
        metrics: Names from :mod:`recipe.tasks.metrics`, the primary one first.
        labels: Class names in the Hub's integer order (classification and tagging), else empty. A tagging task without
            names has those that its training split holds: its streams' manifests list them.
        choices: Number of choices where the dataset fixes it, else None (it varies, or there are none).
        train_split: The source's split to train on.
        evaluation_splits: The source's splits that can serve for validation, best first.
        prefinetune: One of the 46 (True) or downstream only (False).

    A split's name may say how it is made of the source's own: ``dev_r1+dev_r2`` joins two, and ``train#validation`` is
    the part of ``train`` that is set aside where a dataset has no other split (:mod:`data_prep.sources.derived`).
    """

    key: str
    family: Family
    hub: str
    config: str
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    choices: int | None = None
    train_split: str = "train"
    evaluation_splits: tuple[str, ...] = ("validation",)
    prefinetune: bool = True

    @property
    def primary_metric(self) -> str:
        return self.metrics[0]

    @property
    def needs_decoder(self) -> bool:
        """Whether only an encoder-decoder backbone can learn this task."""
        return self.family is Family.SUMMARIZATION

    @property
    def has_open_labels(self) -> bool:
        """Whether the training split decides which labels there are."""
        return self.family is Family.TAGGING and not self.labels


class UnknownTask(UserError):
    """A task key that the catalogue does not have."""


_ACC = ("accuracy",)
_SPAN = ("f1", "exact_match")
_ROUGE = ("rougeL", "rouge1", "rouge2")
_FALSE_TRUE = ("False", "True")
_NLI = ("entailment", "neutral", "contradiction")
# The 36 word tags and 9 punctuation tags of the Penn Treebank (Marcus et al. 1993), brackets as its trees write them.
_PTB_TAGS = (
    "CC", "CD", "DT", "EX", "FW", "IN", "JJ", "JJR", "JJS", "LS", "MD", "NN", "NNP", "NNPS", "NNS", "PDT", "POS", "PRP",
    "PRP$", "RB", "RBR", "RBS", "RP", "SYM", "TO", "UH", "VB", "VBD", "VBG", "VBN", "VBP", "VBZ", "WDT", "WP", "WP$",
    "WRB", "#", "$", "''", ",", "-LRB-", "-RRB-", ".", ":", "``",
)  # fmt: skip
_ONE_SPLIT: dict[str, Any] = {"train_split": "train#train", "evaluation_splits": ("train#validation",)}
_CHUNKS = ("ADJP", "ADVP", "CONJP", "INTJ", "LST", "NP", "PP", "PRT", "SBAR", "UCP", "VP")
_GLUE, _SUPERGLUE = "nyu-mll/glue", "aps/super_glue"


def _classification(
    key: str, hub: str, config: str, labels: tuple[str, ...], metrics: tuple[str, ...] = _ACC, **rest
) -> Task:
    return Task(key, Family.CLASSIFICATION, hub, config, metrics, labels=labels, **rest)


def _commonsense(key: str, hub: str, config: str, choices: int | None, **rest) -> Task:
    return Task(key, Family.COMMONSENSE, hub, config, _ACC, choices=choices, **rest)


def _mrc(key: str, hub: str, config: str) -> Task:
    return Task(key, Family.MRC, hub, config, _SPAN)


def _summarization(key: str, hub: str, config: str, **rest) -> Task:
    return Task(key, Family.SUMMARIZATION, hub, config, _ROUGE, **rest)


_TASKS = (
    # Classification: 25 datasets, COPA among them in the paper's list although it is learned as multiple choice.
    _classification("cola", _GLUE, "cola", ("unacceptable", "acceptable"), ("matthews", "accuracy")),
    _classification("sst2", _GLUE, "sst2", ("negative", "positive")),
    _classification("mrpc", _GLUE, "mrpc", ("not_equivalent", "equivalent"), ("accuracy", "f1")),
    _classification("qqp", _GLUE, "qqp", ("not_duplicate", "duplicate"), ("accuracy", "f1")),
    _classification("mnli", _GLUE, "mnli", _NLI, evaluation_splits=("validation_matched",)),
    _classification("qnli", _GLUE, "qnli", ("entailment", "not_entailment")),
    _classification("rte", _GLUE, "rte", ("entailment", "not_entailment")),
    _classification("wnli", _GLUE, "wnli", ("not_entailment", "entailment")),
    _classification("boolq", _SUPERGLUE, "boolq", _FALSE_TRUE),
    _classification("multirc", _SUPERGLUE, "multirc", _FALSE_TRUE, ("f1", "accuracy")),
    _classification("wic", _SUPERGLUE, "wic", _FALSE_TRUE),
    _classification("wsc", _SUPERGLUE, "wsc.fixed", _FALSE_TRUE),
    _classification("cb", _SUPERGLUE, "cb", ("entailment", "contradiction", "neutral"), ("accuracy", "macro_f1")),
    _commonsense("copa", _SUPERGLUE, "copa", 2),
    _classification(
        "ag_news",
        "fancyzhx/ag_news",
        "default",
        ("World", "Sports", "Business", "Sci/Tech"),
        evaluation_splits=("validation", "test"),
    ),
    _classification("imdb", "stanfordnlp/imdb", "plain_text", ("neg", "pos"), evaluation_splits=("validation", "test")),
    _classification("multi_nli", "nyu-mll/multi_nli", "default", _NLI, evaluation_splits=("validation_matched",)),
    _classification("snli", "stanfordnlp/snli", "plain_text", _NLI),
    _classification("hans", "jhu-cogsci/hans", "plain_text", ("entailment", "non-entailment")),
    _classification("rotten_tomatoes", "cornell-movie-review-data/rotten_tomatoes", "default", ("neg", "pos")),
    _classification(
        "yelp_polarity", "fancyzhx/yelp_polarity", "plain_text", ("1", "2"), evaluation_splits=("validation", "test")
    ),
    _classification("eraser_multi_rc", "CogComp/eraser_multi_rc", "default", _FALSE_TRUE, ("f1", "accuracy")),
    _classification("wiki_qa", "microsoft/wiki_qa", "default", ("0", "1"), ("f1", "accuracy")),
    _classification(
        "trec",
        "CogComp/trec",
        "default",
        ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
        evaluation_splits=("validation", "test"),
    ),
    _classification("scitail", "allenai/scitail", "snli_format", ("entailment", "neutral")),
    # Summarization: 5.
    _summarization("cnn_dailymail", "abisee/cnn_dailymail", "3.0.0"),
    _summarization("billsum", "FiscalNote/billsum", "default", evaluation_splits=("validation", "test")),
    _summarization("xsum", "EdinburghNLP/xsum", "default"),
    _summarization("aeslc", "Yale-LILY/aeslc", "default"),
    _summarization("multi_news", "alexfabbri/multi_news", "default"),
    # Commonsense: 10.
    _commonsense("math_qa", "allenai/math_qa", "default", 5),
    _commonsense("openbookqa", "allenai/openbookqa", "main", 4),
    _commonsense("swag", "allenai/swag", "regular", 4),
    _commonsense("hellaswag", "Rowan/hellaswag", "default", 4),
    _commonsense("race", "ehovy/race", "all", 4),
    _commonsense("commonsense_qa", "tau/commonsense_qa", "default", 5),
    _commonsense("cosmos_qa", "allenai/cosmos_qa", "default", 4),
    _commonsense("arc_easy", "allenai/ai2_arc", "ARC-Easy", None),
    _commonsense("arc_challenge", "allenai/ai2_arc", "ARC-Challenge", None),
    _commonsense("sciq", "allenai/sciq", "default", 4),
    # Machine reading comprehension: 6.
    _mrc("squad", "rajpurkar/squad", "plain_text"),
    _mrc("natural_questions", "google-research-datasets/natural_questions", "default"),
    _mrc("drop", "ucinlp/drop", "default"),
    _mrc("record", _SUPERGLUE, "record"),
    _mrc("hotpot_qa", "hotpotqa/hotpot_qa", "distractor"),
    _mrc("trivia_qa", "mandarjoshi/trivia_qa", "rc"),
    # Downstream only.
    Task("stsb", Family.REGRESSION, _GLUE, "stsb", ("pearson", "spearman"), prefinetune=False),
    _classification(
        "anli",
        "facebook/anli",
        "plain_text",
        _NLI,
        train_split="train_r1+train_r2+train_r3",
        evaluation_splits=("dev_r1+dev_r2+dev_r3",),
        prefinetune=False,
    ),
    _classification(
        "fever_nli", "pietrolesci/nli_fever", "default", _NLI, evaluation_splits=("dev",), prefinetune=False
    ),
    _classification(
        "hyperpartisan",
        "SemEvalWorkshop/hyperpartisan_news_detection",
        "byarticle",
        _FALSE_TRUE,
        prefinetune=False,
        **_ONE_SPLIT,
    ),
    _summarization("gigaword", "Harvard/gigaword", "default", prefinetune=False),
    _summarization("reddit_tifu", "ctr4si/reddit_tifu", "long", prefinetune=False, **_ONE_SPLIT),
    _summarization("arxiv_summarization", "armanc/scientific_papers", "arxiv", prefinetune=False),
    _summarization("pubmed_summarization", "armanc/scientific_papers", "pubmed", prefinetune=False),
    _summarization("big_patent", "NortheasternUniversity/big_patent", "all", prefinetune=False),
    Task(
        "conll2000_chunking",
        Family.TAGGING,
        "eriktks/conll2000",
        "conll2000",
        ("f1",),
        labels=("O", *(f"{mark}-{chunk}" for chunk in _CHUNKS for mark in "BI")),
        evaluation_splits=("test",),
        prefinetune=False,
    ),
    # Licensed, so the Hub has no copy: python -m data_prep.treebank reads one's own.
    Task("ptb_pos", Family.TAGGING, "", "", ("accuracy",), labels=_PTB_TAGS, prefinetune=False),
    Task("ptb_parsing", Family.TAGGING, "", "", ("f1",), prefinetune=False),
)

CATALOGUE: dict[str, Task] = {task.key: task for task in _TASKS}
PREFINETUNE_TASKS: tuple[str, ...] = tuple(task.key for task in _TASKS if task.prefinetune)


def source_splits(name: str) -> tuple[str, ...]:
    """The source's own splits that a split of :class:`Task` is made of."""
    return tuple(part.partition("#")[0] for part in name.split("+"))


def get_task(key: str) -> Task:
    """The catalogue's entry for ``key``.

    Raises:
        UnknownTask: No such task; the message names the nearest key.
    """
    if key not in CATALOGUE:
        near = difflib.get_close_matches(key, CATALOGUE, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(CATALOGUE)}"
        raise UnknownTask(f"unknown task {key!r}: {hint}")
    return CATALOGUE[key]
