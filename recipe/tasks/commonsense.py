"""Commonsense, learned as multiple choice: 10 datasets."""

from __future__ import annotations

from recipe.tasks.origin import Place, native, script
from recipe.tasks.task import commonsense

_ARC = {"licence": "CC BY-SA 4.0", "revision": "210d026faf9955653af8916fad021475a3f00453"}

TASKS = (
    commonsense(
        "math_qa",
        script(
            "allenai/math_qa",
            "default",
            Place("regisss/math_qa"),
            rows={"train": 29_837, "validation": 4_475, "test": 2_985},
            licence="Apache-2.0",
        ),
        5,
        test_split="test",
    ),
    commonsense(
        "openbookqa",
        native(
            "allenai/openbookqa",
            "main",
            rows={"train": 4_957, "validation": 500, "test": 500},
            licence="Apache-2.0",
            revision="388097ea7776314e93a529163e0fea805b8a6454",
        ),
        4,
        test_split="test",
    ),
    commonsense(
        "swag",
        native("allenai/swag", "regular", rows={"train": 73_546, "validation": 20_006, "test": 20_005}, licence="MIT"),
        4,
    ),
    commonsense(
        "hellaswag",
        native(
            "Rowan/hellaswag",
            rows={"train": 39_905, "validation": 10_042, "test": 10_003},
            licence="MIT",
            revision="218ec52e09a7e7462a5400043bb9a69a41d06b76",
        ),
        4,
    ),
    commonsense(
        "race",
        native(
            "ehovy/race",
            "all",
            rows={"train": 87_866, "validation": 4_887, "test": 4_934},
            licence="non-commercial, research use",
            revision="2fec9fd81f1dc971569a9b729c43f2f0e6436637",
        ),
        4,
        test_split="test",
    ),
    commonsense(
        "commonsense_qa",
        native(
            "tau/commonsense_qa",
            rows={"train": 9_741, "validation": 1_221, "test": 1_140},
            licence="MIT",
            revision="94630fe30dad47192a8546eb75f094926d47e155",
        ),
        5,
    ),
    commonsense(
        "cosmos_qa",
        script(
            "allenai/cosmos_qa",
            "default",
            Place("Samsoup/cosmos_qa"),
            rows={"train": 25_262, "validation": 2_985, "test": 6_963},
            licence="CC BY 4.0",
            revision="ed50fe83db62b355759053b1cd5eef344ee371e0",
        ),
        4,
    ),
    commonsense(
        "arc_easy",
        native("allenai/ai2_arc", "ARC-Easy", rows={"train": 2_251, "validation": 570, "test": 2_376}, **_ARC),
        None,
        test_split="test",
    ),
    commonsense(
        "arc_challenge",
        native("allenai/ai2_arc", "ARC-Challenge", rows={"train": 1_119, "validation": 299, "test": 1_172}, **_ARC),
        None,
        test_split="test",
    ),
    commonsense(
        "sciq",
        native(
            "allenai/sciq",
            rows={"train": 11_679, "validation": 1_000, "test": 1_000},
            licence="CC BY-NC 3.0",
            revision="2c94ad3e1aafab77146f384e23536f97a4849815",
        ),
        4,
        test_split="test",
    ),
)
