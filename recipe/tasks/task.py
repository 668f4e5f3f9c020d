"""What a task is: one dataset seen as a learning problem."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from recipe.tasks.origin import Origin

MOST_UNCONVERTED = 0.02  # of a split's rows: data_prep refuses to leave out more without a known reason


class Family(str, Enum):
    """How a task is learned: its head and its loss follow from the family (MUPPET, section 3)."""

    CLASSIFICATION = "classification"  # one head per task, cross entropy
    COMMONSENSE = "commonsense"  # one shared head scores each choice, softmax over an example's choices
    MRC = "mrc"  # one shared span head, start and end cross entropies over a window's valid positions
    SUMMARIZATION = "summarization"  # the decoder itself, label-smoothed cross entropy over target tokens
    REGRESSION = "regression"  # downstream only (STS-B)
    TAGGING = "tagging"  # downstream only (chunking, POS, parsing as tagging)
    MASKED_LM = "masked_lm"  # another task's texts, partly hidden: their tokens, or with a decoder all of the text


class AnswerRules(str, Enum):
    """Whose official evaluation script compares answers (:mod:`recipe.tasks.answers`)."""

    SQUAD = "squad"  # also ReCoRD's and Natural Questions' (as MRQA has it)
    DROP = "drop"
    HOTPOT_QA = "hotpot_qa"
    TRIVIA_QA = "trivia_qa"


@dataclass(frozen=True)
class Search:
    """How a summary is generated.

    Attributes:
        beams: Hypotheses kept; 1 is greedy.
        length_penalty: A finished hypothesis counts log p / length^penalty: above 1 longer ones win.
        no_repeat_ngram: No n-gram of so many tokens occurs twice; 0 allows all.
        min_length: Least tokens, the decoder's start among them, as Hugging Face counts.
        max_length: Most tokens, likewise. Default: what ``data_prep`` cuts targets at, unless told otherwise.
    """

    beams: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0
    min_length: int = 0
    max_length: int = 128

    @property
    def greedy(self) -> Search:
        """Summaries as long at most, each token the likeliest one: fast, for use during training."""
        return Search(max_length=self.max_length)


@dataclass(frozen=True)
class Task:
    """One dataset seen as a learning problem.

    Attributes:
        key: The name used in YAMLs, store folders and reports.
        family: Decides head and loss.
        origin: Where the raw data is.
        metrics: Names from :mod:`recipe.tasks.metrics`, the primary one first.
        labels: Class names in the Hub's integer order (classification and tagging), else empty. A tagging task without
            names has those that its training split holds: its streams' manifests list them.
        choices: Number of choices where the dataset fixes it, else None (it varies, or there are none).
        train_split: The source's split to train on; a diagnostic set has none.
        evaluation_splits: The source's splits that can serve for validation, best first.
        test_split: The source's split to test on, None where it has none besides those. Benchmarks withhold its labels.
        prefinetune: One of the 46 (True), or downstream only or a user's own (False).
        grouped: Whether evaluation tells groups of examples apart (classification): a question's answers, a split's
            parts. Each evaluation example names its group.
        answer_rules: How answers are compared (mrc).
        has_unanswerable: Whether evaluation asks questions whose context has no answer, so that a model may say so
            (mrc).
        score_range: The least and the most score (regression); learned as a number from 0 to 1.
        search: How final evaluations search for a summary (summarization); those of training are greedy.
        stream_of: The task whose streams this one reads, if it has none of its own (masked_lm, mixes).
        learns_from: Tasks with the same labels whose training streams this one reads instead (mixes).
        head_of: The task whose head answers, if this one has nothing to learn from: a diagnostic test set.

    A split's name may say how it is made of the source's own: ``dev_r1+dev_r2`` joins two, and ``train#validation`` is
    the part of ``train`` that is set aside where a dataset has no other split (:mod:`data_prep.sources.derived`).
    """

    key: str
    family: Family
    origin: Origin
    metrics: tuple[str, ...]
    labels: tuple[str, ...] = ()
    choices: int | None = None
    train_split: str = "train"
    evaluation_splits: tuple[str, ...] = ("validation",)
    test_split: str | None = None
    prefinetune: bool = True
    grouped: bool = False
    answer_rules: AnswerRules = AnswerRules.SQUAD
    has_unanswerable: bool = False
    score_range: tuple[float, float] = (0.0, 1.0)
    search: Search = Search()
    stream_of: str | None = None
    learns_from: tuple[str, ...] = ()
    head_of: str | None = None

    @property
    def learned_as(self) -> str:
        """The task that a model must have learned to answer this one."""
        return self.head_of or self.key

    def streams(self, split: str) -> tuple[str, ...]:
        """The tasks whose streams of the shard store hold a split's examples: nothing is stored twice."""
        if split == "train" and self.learns_from:
            return self.learns_from
        return (self.stream_of or self.key,)

    def names_of(self, split: str) -> tuple[str, ...]:
        """The source's splits that can be the store's ``train``, ``validation`` or ``test``, best first."""
        if split == "validation":
            return self.evaluation_splits
        name = self.train_split if split == "train" else self.test_split
        return (name,) if name else ()

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


ACCURACY = ("accuracy",)
FALSE_TRUE = ("False", "True")
NLI = ("entailment", "neutral", "contradiction")
SPAN = ("f1", "exact_match")
ROUGE = ("rougeL", "rouge1", "rouge2")
ROUGE_OF_SENTENCES = ("rougeLsum", "rouge1", "rouge2", "rougeL")  # published scores of longer summaries: sentence-split


def classification(
    key: str, origin: Origin, labels: tuple[str, ...], metrics: tuple[str, ...] = ACCURACY, **rest
) -> Task:
    return Task(key, Family.CLASSIFICATION, origin, metrics, labels=labels, **rest)


def commonsense(key: str, origin: Origin, choices: int | None, **rest) -> Task:
    return Task(key, Family.COMMONSENSE, origin, ACCURACY, choices=choices, **rest)


def mrc(key: str, origin: Origin, **rest) -> Task:
    return Task(key, Family.MRC, origin, SPAN, **rest)


def summarization(key: str, origin: Origin, search: Search, metrics: tuple[str, ...] = ROUGE, **rest) -> Task:
    return Task(key, Family.SUMMARIZATION, origin, metrics, search=search, **rest)


def pegasus_search(length_penalty: float, max_length: int) -> Search:
    """As PEGASUS was searched with (arXiv 1912.08777, appendix C), where BART's authors publish nothing: 8 beams.

    Values of each dataset are those of the released checkpoints' configurations (transformers'
    ``configuration_pegasus.py``, ``task_specific_params``), not compared with the paper's own table. The paper's
    penalty is GNMT's, ((5 + length) / 6)^alpha; the released configurations use the same alpha with Hugging Face's
    length^alpha, and so do we. No n-gram is forbidden, no length demanded.
    """
    return Search(beams=8, length_penalty=length_penalty, max_length=max_length)
