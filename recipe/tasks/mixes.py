"""Tasks that learn from other tasks' training data: one head, several datasets. MUPPET's table 6 mixes ANLI's so."""

from __future__ import annotations

from dataclasses import replace

from recipe.tasks import classification, downstream
from recipe.tasks.origin import Origin
from recipe.tasks.task import Task

_PARTS = {task.key: task for task in (*classification.TASKS, *downstream.TASKS)}


def _mix(key: str, validated_as: str, *learns_from: str) -> Task:
    task, parts = _PARTS[validated_as], [_PARTS[part] for part in learns_from]
    rows = sum(part.origin.known_rows(part.train_split) or 0 for part in parts)
    licences = dict.fromkeys(part.origin.licence for part in parts)
    return replace(
        task,
        key=key,
        origin=Origin((), {"train": rows}, ", ".join(licences)),
        train_split="train",
        stream_of=validated_as,
        learns_from=learns_from,
    )


# S is SNLI, M MNLI, F FEVER, A1 and A2 rounds of ANLI; all are scored on ANLI's development splits.
MIXES: dict[str, Task] = {
    mix.key: mix
    for mix in (
        _mix("anli_from_sm", "anli", "snli", "mnli"),
        _mix("anli_from_smf", "anli", "snli", "mnli", "fever_nli"),
        _mix("anli_from_smf_a1", "anli", "snli", "mnli", "fever_nli", "anli_r1"),
        _mix("anli_from_smf_a1_a2", "anli", "snli", "mnli", "fever_nli", "anli_r1", "anli_r2"),
        _mix("anli_from_smf_anli", "anli", "snli", "mnli", "fever_nli", "anli"),
    )
}
