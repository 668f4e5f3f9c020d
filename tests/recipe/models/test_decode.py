from __future__ import annotations

import numpy as np
import pytest

from recipe.models.decode import best_answer, best_span

TEXT = "the cat sat on the mat"
OFFSETS = np.array([(0, 0), (0, 3), (4, 7), (8, 11), (12, 14), (15, 18), (19, 22)])


def scores(**at: float) -> np.ndarray:
    values = np.zeros(7, dtype=np.float32)
    for token, value in at.items():
        values[int(token[1:])] = value
    return values


def test_the_best_span_never_ends_before_it_starts():
    assert best_span(scores(t5=9), scores(t2=9, t6=1), (1, 7)) == (10.0, 5, 6)


def test_the_best_span_stays_within_the_context_and_the_longest_answer():
    assert best_span(scores(t0=99, t2=5), scores(t6=50), (1, 6)) == (5.0, 2, 2)
    assert best_span(scores(t1=5, t4=4), scores(t6=5), (1, 7), max_tokens=3) == (9.0, 4, 6)


@pytest.mark.parametrize("length", [1, 2, 6])
def test_the_best_span_equals_a_search_over_all_of_them(length):
    rng = np.random.default_rng(length)
    start, end = rng.normal(size=7), rng.normal(size=7)
    every = [(start[i] + end[j], i, j) for i in range(1, 7) for j in range(i, min(7, i + length))]
    assert best_span(start, end, (1, 7), max_tokens=length) == pytest.approx(max(every))


def answer(starts: list[np.ndarray], ends: list[np.ndarray], may_be_none: bool = True) -> str:
    """Of windows that all see the whole text."""
    windows = len(starts)
    return best_answer(starts, ends, [(1, 7)] * windows, [OFFSETS] * windows, TEXT, may_be_none)


def test_an_answer_is_cut_from_the_text_by_its_characters():
    assert answer([scores(t2=5)], [scores(t3=5)]) == "cat sat"


def test_the_best_window_answers_even_where_another_sees_no_answer():
    assert answer([scores(t0=9), scores(t5=5)], [scores(t0=9), scores(t6=5)]) == "the mat"


def test_there_is_no_answer_where_every_window_prefers_none():
    assert answer([scores(t0=9)], [scores(t0=9)]) == ""
    assert answer([scores(t0=9), scores(t0=8, t2=5)], [scores(t0=9), scores(t0=8, t3=5)]) == ""


def test_where_every_question_has_an_answer_the_best_span_is_it_whatever_no_answer_scores():
    assert answer([scores(t0=9, t2=5)], [scores(t0=9, t3=5)], may_be_none=False) == "cat sat"


@pytest.mark.parametrize("may_be_none", [True, False])
def test_a_window_without_context_has_no_answer(may_be_none):
    assert best_answer([scores()], [scores()], [(0, 0)], [OFFSETS], TEXT, may_be_none) == ""
