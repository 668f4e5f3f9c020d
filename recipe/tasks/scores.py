"""Scores as pure functions, by what they are computed from. C classes, N examples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recipe.tasks.chunks import chunks
from recipe.tasks.trees import brackets, labels_to_tree, read_trees

# A confusion matrix (C, C), rows the right class, columns the predicted one.


def accuracy(confusion: Tensor) -> Tensor:
    """Fraction of right classes; NaN without examples."""
    return confusion.trace() / confusion.sum()


def class_f1(confusion: Tensor) -> Tensor:
    """(C,) F1 of each class; NaN where a class neither occurs nor is predicted."""
    return 2 * confusion.diagonal() / (confusion.sum(dim=0) + confusion.sum(dim=1))


def positive_f1(confusion: Tensor) -> Tensor:
    """F1 of class 1, 0 if it neither occurs nor is predicted."""
    return class_f1(confusion)[1].nan_to_num(0.0)


def macro_f1(confusion: Tensor) -> Tensor:
    """Mean of each class's F1 over the classes that occur or are predicted."""
    return class_f1(confusion).nanmean()


def matthews(confusion: Tensor) -> Tensor:
    """Matthews correlation, 0 where it is undefined (only one class), as GLUE and scikit-learn have it.

    torchmetrics 1.7 gives constant predictions another value (0.026 for CoLA's majority class), hence our own.
    """
    right, total = confusion.trace(), confusion.sum()
    actual, predicted = confusion.sum(dim=1), confusion.sum(dim=0)
    covariance = right * total - actual @ predicted
    variances = (total**2 - predicted @ predicted) * (total**2 - actual @ actual)
    return covariance / variances.clamp(min=1).sqrt()


# Rows (N, 2) of all examples.


def pearson(rows: Tensor) -> Tensor:
    """Pearson's correlation of the two columns, 0 where it is undefined (one of them is constant)."""
    centred = rows - rows.mean(dim=0)
    covariance, variances = centred.prod(dim=1).sum(), centred.square().sum(dim=0)
    return covariance / variances.prod().sqrt() if variances.all() else rows.new_zeros(())


def spearman(rows: Tensor) -> Tensor:
    """Spearman's correlation: Pearson's of the ranks, equal values sharing the mean of theirs."""
    return pearson(torch.stack([_ranks(column) for column in rows.unbind(dim=1)], dim=1))


def _ranks(values: Tensor) -> Tensor:
    _, which, counts = values.unique(return_inverse=True, return_counts=True)
    last = counts.cumsum(dim=0)
    return (last - (counts - 1) / 2)[which].to(values)


def all_right(rows: Tensor) -> Tensor:
    """The fraction of groups of which every example is right; rows hold the group's number and 1 or 0."""
    groups, which = rows[:, 0].unique(return_inverse=True)
    wrong = rows.new_zeros(len(groups)).index_add(0, which, 1 - rows[:, 1])
    return (wrong == 0).double().mean()


# What prediction and reference of one example share: items right, items predicted, items to be found.

Overlap = tuple[int, int, int]


def overlap_f1(counts: Tensor) -> Tensor:
    """2 right / (predicted + to be found), 0 if there are none, of the overlaps' sum (3,)."""
    right, predicted, actual = counts.double()
    return 2 * right / (predicted + actual).clamp(min=1)


def tag_overlap(tags: Sequence[str], reference: Sequence[str]) -> Overlap:
    """Words with the right tag; as all have one, F1 over them is accuracy."""
    return sum(a == b for a, b in zip(tags, reference, strict=True)), len(reference), len(reference)


def chunk_overlap(tags: Sequence[str], reference: Sequence[str]) -> Overlap:
    """Chunks of the right name and extent."""
    predicted, right = set(chunks(tags)), set(chunks(reference))
    return len(predicted & right), len(predicted), len(right)


def bracket_overlap(labels: Sequence[str], reference: str) -> Overlap:
    """Constituents of the tree that the labels say, and of the reference's bracketed tree (evalb)."""
    (tree,) = read_trees(reference)
    predicted, right = brackets(labels_to_tree(labels, tree.leaves())), brackets(tree)
    return (predicted & right).total(), predicted.total(), right.total()
