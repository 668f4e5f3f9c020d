"""Machine reading comprehension: 6 datasets."""

from __future__ import annotations

from recipe.tasks.classification import superglue
from recipe.tasks.origin import native
from recipe.tasks.task import AnswerRules, mrc

TASKS = (
    mrc(
        "squad",
        native("rajpurkar/squad", "plain_text", rows={"train": 87_599, "validation": 10_570}, licence="CC BY-SA 4.0"),
    ),
    mrc(
        "natural_questions",
        native(
            "google-research-datasets/natural_questions",
            rows={"train": 307_373, "validation": 7_830},
            licence="CC BY-SA 3.0",
            streamed=True,
            unread=("document.html", "document.tokens.start_byte", "document.tokens.end_byte"),
        ),
    ),
    mrc(
        "drop",
        native(
            "ucinlp/drop",
            rows={"train": 77_400, "validation": 9_535},
            licence="CC BY-SA 4.0",
            revision="95cda593fae71b60b5b19f82de3fcf3298c1239c",
        ),
        answer_rules=AnswerRules.DROP,
    ),
    mrc("record", superglue("record", 100_730, 10_000, 10_000, "unclear"), test_split="test"),
    mrc(
        "hotpot_qa",
        native(
            "hotpotqa/hotpot_qa",
            "distractor",
            rows={"train": 90_447, "validation": 7_405},
            licence="CC BY-SA 4.0",
            revision="1908d6afbbead072334abe2965f91bd2709910ab",
        ),
        answer_rules=AnswerRules.HOTPOT_QA,
    ),
    mrc(
        "trivia_qa",
        native(
            "mandarjoshi/trivia_qa",
            "rc",
            rows={"train": 138_384, "validation": 17_944, "test": 17_210},
            licence="unclear",
            streamed=True,
        ),
        answer_rules=AnswerRules.TRIVIA_QA,
    ),
)
