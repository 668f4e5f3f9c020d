"""How an answer's text is compared with the acceptable ones, as each dataset's official evaluation script does it.

All take one prediction and every acceptable answer (none: the empty answer is right), and return a fraction.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from recipe.tasks.task import AnswerRules

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_TRIVIA_QA_PUNCTUATION = str.maketrans(dict.fromkeys(string.punctuation + "\u2018\u2019\u00b4", " "))
_NOT_A_SPAN = ("yes", "no", "noanswer")  # HotpotQA's answers that share no word with any other


def exact_match(prediction: str, answers: Sequence[str], rules: AnswerRules = AnswerRules.SQUAD) -> float:
    """1 if the prediction equals one of the ``answers`` after normalisation, else 0."""
    normalize = _NORMALIZE[rules]
    return float(normalize(prediction) in {normalize(answer) for answer in answers or ("",)})


def token_f1(prediction: str, answers: Sequence[str], rules: AnswerRules = AnswerRules.SQUAD) -> float:
    """F1 of the normalised words, the best over ``answers``."""
    normalize, f1 = _NORMALIZE[rules], _F1[rules]
    return max(f1(normalize(prediction), normalize(answer)) for answer in answers or ("",))


def normalize_answer(text: str) -> str:
    """Lower case without punctuation, articles and extra white space (SQuAD)."""
    return _without_articles(text.lower().translate(_PUNCTUATION))


def normalize_trivia_qa_answer(text: str) -> str:
    """As SQuAD's, but punctuation, curly quotes among it, parts words (TriviaQA)."""
    return _without_articles(text.lower().translate(_TRIVIA_QA_PUNCTUATION))


def normalize_drop_answer(text: str) -> str:
    """As SQuAD's, but hyphens part words, and every number is written alike: 12 and 12.0 (DROP)."""
    return " ".join(filter(None, map(_normalize_drop_word, re.split("[ -]", text.lower()))))


def _normalize_drop_word(word: str) -> str:
    if _is_number(word):
        return str(float(word))
    word = word.translate(_PUNCTUATION)
    return _without_articles(str(float(word)) if _is_number(word) else word)


def _without_articles(text: str) -> str:
    return " ".join(_ARTICLES.sub(" ", text).split())


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _squad_f1(predicted: str, right: str) -> float:
    """Of bags of words; an empty answer has nothing in common with another."""
    if not predicted or not right:
        return float(predicted == right)
    return _f1(Counter(predicted.split()), Counter(right.split()))


def _trivia_qa_f1(predicted: str, right: str) -> float:
    return _f1(Counter(predicted.split()), Counter(right.split()))


def _hotpot_qa_f1(predicted: str, right: str) -> float:
    if predicted != right and (predicted in _NOT_A_SPAN or right in _NOT_A_SPAN):
        return 0.0
    return _f1(Counter(predicted.split()), Counter(right.split()))


def _drop_f1(predicted: str, right: str) -> float:
    """Of sets of words, rounded to hundredths as the script does; 0 where the right answer's numbers are others.

    The script also aligns answers of several spans. A prediction is one span here, and so is each answer that
    conversion keeps (:mod:`data_prep.adapters.mrc`).
    """
    predicted_words, words = set(predicted.split()), set(right.split())
    numbers = set(filter(_is_number, words))
    if numbers and not numbers & predicted_words:
        return 0.0
    if not words and not predicted_words:
        return 1.0
    return round(_f1(Counter(predicted_words), Counter(words)), 2)


def _f1(predicted: Counter[str], right: Counter[str]) -> float:
    common = (predicted & right).total()
    return 2 * common / (predicted.total() + right.total()) if common else 0.0


_NORMALIZE: Mapping[AnswerRules, Callable[[str], str]] = {
    AnswerRules.SQUAD: normalize_answer,
    AnswerRules.DROP: normalize_drop_answer,
    AnswerRules.HOTPOT_QA: normalize_answer,
    AnswerRules.TRIVIA_QA: normalize_trivia_qa_answer,
}
_F1: Mapping[AnswerRules, Callable[[str, str], float]] = {
    AnswerRules.SQUAD: _squad_f1,
    AnswerRules.DROP: _drop_f1,
    AnswerRules.HOTPOT_QA: _hotpot_qa_f1,
    AnswerRules.TRIVIA_QA: _trivia_qa_f1,
}
