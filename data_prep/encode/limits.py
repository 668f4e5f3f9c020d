"""How long rows and targets may become."""

from __future__ import annotations

from dataclasses import dataclass

from recipe.errors import UserError


class LimitsError(UserError):
    """Limits that leave no room for what they limit."""


@dataclass(frozen=True)
class Limits:
    """How long rows and targets may become, in tokens with special tokens.

    Attributes:
        max_length: Most tokens of a row.
        max_target_length: Most tokens of a target (summarization).
        stride: Context tokens that neighbouring windows share (mrc).
        train_windows: Most windows of a training example (mrc).
    """

    max_length: int = 512
    max_target_length: int = 128
    stride: int = 128
    train_windows: int = 4

    def __post_init__(self) -> None:
        for name, least in (("max_length", 32), ("max_target_length", 4), ("stride", 0), ("train_windows", 1)):
            if getattr(self, name) < least:
                raise LimitsError(f"{name}={getattr(self, name)}: expected at least {least}")
        if self.stride > self.max_length // 2:
            raise LimitsError(f"stride={self.stride}: expected at most half of max_length={self.max_length}")

    @property
    def question_length(self) -> int:
        """Most tokens of a question: the windows' context must keep room for more than the stride."""
        return min(64, self.max_length // 4)
