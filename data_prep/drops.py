"""When too many rows are dropped: an adapter that misreads its data should fail, not write what is left."""

from __future__ import annotations

from data_prep.adapters import get_adapter
from recipe.data.manifest import Manifest
from recipe.errors import UserError
from recipe.tasks.catalogue import registered_tasks
from recipe.tasks.task import MOST_UNCONVERTED

LEAST_ROWS = 50  # of fewer, one row is 2 %


class TooManyDropped(UserError):
    """A stream that lost more rows than its dataset explains."""


def check_drops(manifest: Manifest) -> None:
    """Hold a stream to the 2 % rule: rows dropped for reasons that its adapter does not expect.

    Raises:
        TooManyDropped: More than :data:`recipe.tasks.task.MOST_UNCONVERTED` of at least :data:`LEAST_ROWS` rows.
    """
    expected = get_adapter(manifest.task).expected
    unexpected = {reason: count for reason, count in manifest.dropped.items() if reason not in expected}
    dropped = sum(unexpected.values())
    if manifest.read < LEAST_ROWS or dropped <= MOST_UNCONVERTED * manifest.read:
        return
    cure = "name the cause in the task's adapter (expected)"
    if manifest.task in registered_tasks():
        cure = "take those rows out of the file"
    reasons = ", ".join(f"{reason}: {count:,}" for reason, count in sorted(unexpected.items()))
    raise TooManyDropped(
        f"{manifest.task}/{manifest.split}: {dropped:,} of {manifest.read:,} rows were dropped "
        f"({dropped / manifest.read:.1%}, at most {MOST_UNCONVERTED:.0%} may be) for reasons without a known cause "
        f"({reasons}); look at the source's {manifest.source_split}, raise the maximum length if rows were too long, "
        f"or {cure}"
    )
