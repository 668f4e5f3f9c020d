"""Classification: 25 datasets, COPA among them in the paper's list although it is learned as multiple choice."""

from __future__ import annotations

from typing import Any

from recipe.tasks.origin import Origin, native, raw, script
from recipe.tasks.task import FALSE_TRUE, NLI, Task, classification, commonsense


def glue(config: str, train: int, validation: int, test: int, licence: str) -> Origin:
    rows = {"train": train, "validation": validation, "test": test}
    return native("nyu-mll/glue", config, rows=rows, licence=licence, index="idx")


def superglue(config: str, train: int, validation: int, test: int, licence: str) -> Origin:
    rows = {"train": train, "validation": validation, "test": test}
    return native("aps/super_glue", config, rows=rows, licence=licence, index="idx")


_MNLI_LICENCE = "OANC and others, see the MultiNLI paper"
_HANS = "https://raw.githubusercontent.com/tommccoy1/hans/master/"
_ERASER = "http://www.eraserbenchmark.com/zipped/multirc.tar.gz"

_ENTAILMENT = ("entailment", "not_entailment")

TASKS = (
    classification(
        "cola",
        glue("cola", 8_551, 1_043, 1_063, "unclear (research use)"),
        ("unacceptable", "acceptable"),
        ("matthews", "accuracy"),
        test_split="test",
    ),
    classification(
        "sst2", glue("sst2", 67_349, 872, 1_821, "unclear (research use)"), ("negative", "positive"), test_split="test"
    ),
    classification(
        "mrpc",
        glue("mrpc", 3_668, 408, 1_725, "Microsoft Research licence, research use"),
        ("not_equivalent", "equivalent"),
        ("accuracy", "f1"),
        test_split="test",
    ),
    classification(
        "qqp",
        glue("qqp", 363_846, 40_430, 390_965, "Quora terms, non-commercial"),
        ("not_duplicate", "duplicate"),
        ("accuracy", "f1"),
        test_split="test",
    ),
    classification(
        "mnli",
        native(
            "nyu-mll/glue",
            "mnli",
            rows={
                "train": 392_702,
                "validation_matched": 9_815,
                "validation_mismatched": 9_832,
                "test_matched": 9_796,
                "test_mismatched": 9_847,
            },
            licence=_MNLI_LICENCE,
            index="idx",
        ),
        NLI,
        ("accuracy", "accuracy_matched", "accuracy_mismatched"),
        evaluation_splits=("validation_matched+validation_mismatched", "validation_matched"),
        test_split="test_matched+test_mismatched",
        grouped=True,
    ),
    classification("qnli", glue("qnli", 104_743, 5_463, 5_463, "CC BY-SA 4.0"), _ENTAILMENT, test_split="test"),
    classification("rte", glue("rte", 2_490, 277, 3_000, "unclear (research use)"), _ENTAILMENT, test_split="test"),
    classification(
        "wnli", glue("wnli", 635, 71, 146, "CC BY 4.0"), ("not_entailment", "entailment"), test_split="test"
    ),
    classification("boolq", superglue("boolq", 9_427, 3_270, 3_245, "CC BY-SA 3.0"), FALSE_TRUE, test_split="test"),
    classification(
        "multirc",
        superglue("multirc", 27_243, 4_848, 9_693, "unclear (research use)"),
        FALSE_TRUE,
        ("f1a", "exact_match"),
        test_split="test",
        grouped=True,
    ),
    classification("wic", superglue("wic", 5_428, 638, 1_400, "CC BY-NC 4.0"), FALSE_TRUE, test_split="test"),
    classification("wsc", superglue("wsc.fixed", 554, 104, 146, "CC BY 4.0"), FALSE_TRUE, test_split="test"),
    classification(
        "cb",
        superglue("cb", 250, 56, 250, "unclear"),
        ("entailment", "contradiction", "neutral"),
        ("accuracy", "macro_f1"),
        test_split="test",
    ),
    commonsense("copa", superglue("copa", 400, 100, 500, "BSD 2-Clause"), 2, test_split="test"),
    classification(
        "ag_news",
        native(
            "fancyzhx/ag_news",
            rows={"train": 120_000, "test": 7_600},
            licence="non-commercial",
            revision="eb185aade064a813bc0b7f42de02595523103ca4",
        ),
        ("World", "Sports", "Business", "Sci/Tech"),
        evaluation_splits=("validation", "test"),
    ),
    classification(
        "imdb",
        native(
            "stanfordnlp/imdb",
            "plain_text",
            rows={"train": 25_000, "test": 25_000, "unsupervised": 50_000},
            licence="unclear",
        ),
        ("neg", "pos"),
        evaluation_splits=("validation", "test"),
    ),
    classification(
        "multi_nli",
        native(
            "nyu-mll/multi_nli",
            rows={"train": 392_702, "validation_matched": 9_815, "validation_mismatched": 9_832},
            licence=_MNLI_LICENCE,
            revision="da70db2af9d09693783c3320c4249840212ee221",
        ),
        NLI,
        evaluation_splits=("validation_matched",),
    ),
    classification(
        "snli",
        native(
            "stanfordnlp/snli",
            "plain_text",
            rows={"train": 550_152, "validation": 10_000, "test": 10_000},
            licence="CC BY-SA 4.0",
            revision="cdb5c3d5eed6ead6e5a341c8e56e669bb666725b",
        ),
        NLI,
        test_split="test",
    ),
    classification(
        "hans",
        script(
            "jhu-cogsci/hans",
            "plain_text",
            raw(
                "hans",
                {
                    "train": (f"{_HANS}heuristics_train_set.txt",),
                    "validation": (f"{_HANS}heuristics_evaluation_set.txt",),
                },
            ),
            rows={"train": 30_000, "validation": 30_000},
            licence="MIT",
        ),
        ("entailment", "non-entailment"),
    ),
    classification(
        "rotten_tomatoes",
        native(
            "cornell-movie-review-data/rotten_tomatoes",
            rows={"train": 8_530, "validation": 1_066, "test": 1_066},
            licence="unclear",
        ),
        ("neg", "pos"),
        test_split="test",
    ),
    classification(
        "yelp_polarity",
        native(
            "fancyzhx/yelp_polarity",
            "plain_text",
            rows={"train": 560_000, "test": 38_000},
            licence="Yelp dataset terms",
        ),
        ("1", "2"),
        evaluation_splits=("validation", "test"),
    ),
    classification(
        "eraser_multi_rc",
        script(
            "CogComp/eraser_multi_rc",
            "default",
            raw("eraser_multi_rc", {"train": (_ERASER,), "validation": (_ERASER,)}),
            rows={"train": 24_029, "validation": 3_214, "test": 4_848},
            licence="unclear (MultiRC)",
        ),
        FALSE_TRUE,
        ("f1", "accuracy"),
    ),
    classification(
        "wiki_qa",
        native(
            "microsoft/wiki_qa",
            rows={"train": 20_360, "validation": 2_733, "test": 6_165},
            licence="Microsoft Research licence",
        ),
        ("0", "1"),
        ("f1", "accuracy"),
        test_split="test",
    ),
    classification(
        "trec",
        script("CogComp/trec", rows={"train": 5_452, "test": 500}, licence="unclear"),
        ("ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"),
        evaluation_splits=("validation", "test"),
    ),
    classification(
        "scitail",
        native(
            "allenai/scitail",
            "snli_format",
            rows={"train": 23_596, "validation": 1_304, "test": 2_126},
            licence="Apache-2.0",
        ),
        ("entailment", "neutral"),
        test_split="test",
    ),
)


def _diagnostic(key: str, origin: Origin, labels: tuple[str, ...], head_of: str) -> Task:
    splits: dict[str, Any] = {"train_split": "", "evaluation_splits": (), "test_split": "test"}
    return classification(key, origin, labels, prefinetune=False, head_of=head_of, **splits)


# Test sets that benchmarks have for a look at what a model knows: nothing to learn from, answered by another's head.
DIAGNOSTICS = (
    _diagnostic("ax", native("nyu-mll/glue", "ax", rows={"test": 1_104}, licence="unclear", index="idx"), NLI, "mnli"),
    _diagnostic(
        "axb", native("aps/super_glue", "axb", rows={"test": 1_104}, licence="unclear", index="idx"), _ENTAILMENT, "rte"
    ),
    _diagnostic(
        "axg", native("aps/super_glue", "axg", rows={"test": 356}, licence="unclear", index="idx"), _ENTAILMENT, "rte"
    ),
)
