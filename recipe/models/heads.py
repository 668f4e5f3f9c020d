"""What turns hidden states into predictions.

r rows, b examples, w words, L tokens, H hidden size, C classes or choices.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence


class ClassificationHead(nn.Module):
    """RoBERTa's head: dropout, dense, tanh, dropout, projection (Hugging Face's names).

    Args:
        hidden: H.
        classes: C.
        dropout: Probability.
        std: Standard deviation of the initial weights; biases start at 0.
    """

    def __init__(self, hidden: int, classes: int, dropout: float, std: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden, hidden)
        self.out_proj = nn.Linear(hidden, classes)
        _initialize(self, std)

    def forward(self, representation: Tensor) -> Tensor:
        """(r, H) to logits (r, C)."""
        hidden = torch.tanh(self.dense(self.dropout(representation)))
        return self.out_proj(self.dropout(hidden))


class ScoreHead(ClassificationHead):
    """One number a row: of regression, or of one choice by itself, then shared by every multiple choice task."""

    def __init__(self, hidden: int, dropout: float, std: float) -> None:
        super().__init__(hidden, 1, dropout, std)

    def forward(self, representation: Tensor) -> Tensor:
        """(r, H) to scores (r,)."""
        return super().forward(representation).squeeze(-1)


class SpanHead(nn.Module):
    """Scores every token as an answer's first and last; shared by every reading comprehension task."""

    def __init__(self, hidden: int, std: float) -> None:
        super().__init__()
        self.out_proj = nn.Linear(hidden, 2)
        _initialize(self, std)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """(r, L, H) to start and end scores (r, L)."""
        start, end = self.out_proj(hidden).unbind(dim=-1)
        return start, end


class TaggingHead(nn.Module):
    """Dropout and projection of each word's first token (BERT, arXiv 1810.04805, section 5.3).

    Args:
        hidden: H.
        classes: C.
        dropout: Probability.
        std: Standard deviation of the initial weights; biases start at 0.
    """

    def __init__(self, hidden: int, classes: int, dropout: float, std: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out_proj = nn.Linear(hidden, classes)
        _initialize(self, std)

    def forward(self, words: Tensor) -> Tensor:
        """(w, H) to logits (w, C)."""
        return self.out_proj(self.dropout(words))


class MaskedLMHead(nn.Module):
    """RoBERTa's and BERT's masked language modelling head; the output weights are the embeddings, given at each call.

    Args:
        hidden: H.
        embedding: E, the width of the token embeddings (H but for ELECTRA).
        vocabulary: V.
        eps: Of the norm.
        std: Standard deviation of the initial weights; biases start at 0.
    """

    def __init__(self, hidden: int, embedding: int, vocabulary: int, eps: float, std: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden, embedding)
        self.layer_norm = nn.LayerNorm(embedding, eps=eps)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        _initialize(self, std)

    def forward(self, hidden: Tensor, embeddings: Tensor) -> Tensor:
        """(m, H) of masked tokens and the embeddings (V, E) to logits (m, V)."""
        return F.linear(self.layer_norm(F.gelu(self.dense(hidden))), embeddings, self.bias)


def group_choices(scores: Tensor, choices: Tensor) -> Tensor:
    """Scores of rows (r,) as logits of examples (b, C), C the most choices of an example.

    Args:
        scores: (r,) in the order of the rows.
        choices: (b,) how many of the rows belong to each example.

    Returns:
        (b, C), the lowest finite value beyond an example's choices.
    """
    return pad_sequence(list(scores.split(choices.tolist())), batch_first=True, padding_value=lowest(scores))


def valid_positions(context: Tensor, length: int) -> Tensor:
    """Where an answer can stand: the context's tokens, and the first token, which means "no answer here".

    Args:
        context: (r, 2) [start, stop) of the context in each row.
        length: L.

    Returns:
        (r, L) bool.
    """
    position = torch.arange(length, device=context.device)
    return ((position >= context[:, :1]) & (position < context[:, 1:])) | (position == 0)


def lowest(logits: Tensor) -> float:
    """What an impossible outcome's logit holds: finite, so that a KL divergence stays a number."""
    return torch.finfo(logits.dtype).min


def _initialize(head: nn.Module, std: float) -> None:
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)
