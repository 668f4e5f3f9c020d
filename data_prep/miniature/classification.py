"""Classification in small: sentiment words, topic words, and cue words in the second text of a pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datasets import ClassLabel, Features, Value
from datasets import List as ListOf

from data_prep.miniature import words
from data_prep.miniature.sentences import Draw, Miniature, columns, draw_fact, fillers, lower, paragraph
from recipe.tasks import get_task

_CUES = {
    **dict.fromkeys(("entailment", "equivalent", "duplicate", "True", "1"), words.AGREEING),
    **dict.fromkeys(("not_equivalent", "not_duplicate", "False", "0", "contradiction"), words.DENYING),
    **dict.fromkeys(("not_entailment", "non-entailment"), words.DENYING + words.UNSURE),
    "neutral": words.UNSURE,
}


def _label(key: str) -> ClassLabel:
    return ClassLabel(names=list(get_task(key).labels))


def _draw_label(draw: Draw, key: str, weights: Sequence[float] | None = None) -> tuple[int, str]:
    """A class and a cue word that tells it."""
    labels = get_task(key).labels
    label = draw.rng.choices(range(len(labels)), weights)[0]
    return label, draw.rng.choice(_CUES[labels[label]])


def _pair(
    key: str, first: str, second: str, train: int, evaluation: int, index: bool = True, hidden: float = 0.0
) -> Miniature:
    """A statement and a shorter one with a cue; ``hidden`` is the share of rows without a gold label (-1)."""

    def row(draw: Draw) -> dict[str, Any]:
        fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, key)
        identity = {"idx": draw.number} if index else {}
        shown = -1 if draw.chance(hidden) else label
        return {first: fact.statement(), second: fact.short_statement(cue), "label": shown, **identity}

    features = columns(f"{first} {second}", "idx" if index else "", label=_label(key))
    return Miniature(features, row, train, evaluation)


def _qnli(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "qnli")
    return {
        "question": f"Where {fact.question()}?",
        "sentence": fact.statement(cue),
        "label": label,
        "idx": draw.number,
    }


def _multi_nli(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "multi_nli")
    premise, hypothesis = fact.statement(), fact.short_statement(cue)
    texts = {"premise": premise, "hypothesis": hypothesis}
    parses = {f"{name}_{kind}": f"( {text} )" for name, text in texts.items() for kind in ("parse", "binary_parse")}
    return {**texts, **parses, "promptID": draw.number, "pairID": f"{draw.number}n", "genre": "fiction", "label": label}


def _hans(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "hans")
    parses = dict.fromkeys(("parse_premise", "parse_hypothesis", "binary_parse_premise", "binary_parse_hypothesis"), "")
    kinds = {"heuristic": "lexical_overlap", "subcase": "ln_subject/object_swap", "template": "temp1"}
    return {"premise": fact.statement(), "hypothesis": fact.short_statement(cue), "label": label, **parses, **kinds}


def _scitail(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "scitail")
    name = get_task("scitail").labels[label]
    parses = {f"sentence{n}_{kind}": "" for n in (1, 2) for kind in ("parse", "binary_parse")}
    texts = {"sentence1": fact.statement(), "sentence2": fact.short_statement(cue)}
    return {**texts, **parses, "annotator_labels": [name], "gold_label": name}


def _boolq(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "boolq")
    passage = f"{fact.place.title()} -- {' '.join(paragraph(draw.rng, fact.statement(cue), 1, 3))}"
    return {"question": fact.question(), "passage": passage, "idx": draw.number, "label": label}


def _multirc(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "multirc")
    return {
        "paragraph": " ".join(paragraph(draw.rng, fact.statement(), 1, 3)),
        "question": f"What {fact.open_question()}?",
        "answer": f"{cue} the {fact.object}",
        "idx": {"paragraph": draw.number // 4, "question": draw.number // 2, "answer": draw.number},
        "label": label,
    }


def _eraser_multi_rc(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "eraser_multi_rc")
    return {
        "passage": "\n".join(lower(sentence) for sentence in paragraph(draw.rng, fact.statement(), 1, 3)),
        "query_and_answer": f"what {fact.open_question()} ? || {cue} the {fact.object}",
        "label": label,
        "evidences": [lower(fact.statement())],
    }


def _wic(draw: Draw) -> dict[str, Any]:
    """The word at character offsets in both sentences, the end exclusive."""
    (label, cue), word = _draw_label(draw, "wic"), draw.rng.choice(words.OBJECTS)
    first, second = (f"The {draw.rng.choice(words.SUBJECTS)}{c} saw the {word}s again." for c in ("", f" {cue}"))
    second = second.replace("again", draw.rng.choice(words.PREPOSITIONS) + " the " + draw.rng.choice(words.PLACES))
    texts = {"sentence1": first, "sentence2": second}
    starts = {f"start{n}": texts[f"sentence{n}"].index(f"{word}s") for n in (1, 2)}
    ends = {f"end{n}": starts[f"start{n}"] + len(word) + 1 for n in (1, 2)}
    return {"word": word, **texts, **starts, **ends, "idx": draw.number, "label": label}


def _wsc(draw: Draw) -> dict[str, Any]:
    """Spans by the index of a white-space separated token; the pronoun's token carries a comma."""
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "wsc")
    text = f"{fact.statement()[:-1]} and when someone asked him, he {cue} answered."
    tokens = text.split()
    spans = {"span1_text": fact.subject, "span2_text": "him"}
    indices = {"span1_index": tokens.index(fact.subject), "span2_index": tokens.index("him,")}
    return {"text": text, **spans, **indices, "idx": draw.number, "label": label}


def _wiki_qa(draw: Draw) -> dict[str, Any]:
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "wiki_qa", (3, 1))
    return {
        "question_id": f"Q{draw.number}",
        "question": f"where {fact.question()}",
        "document_title": fact.place.title(),
        "answer": fact.statement(cue),
        "label": label,
    }


def _opinion(draw: Draw, parts: Sequence[str], label: int) -> str:
    kind = (words.NEGATIVE, words.POSITIVE)[label]
    (part, other), (one, two) = draw.rng.sample(parts, 2), draw.rng.sample(kind, 2)
    return f"The {part} was {one} and the {draw.rng.choice(words.SUBJECTS)} found the {other} {two}."


def _review(
    key: str, text: Callable[[Draw, int], str], train: int, evaluation: int, column: str = "text", index: bool = False
) -> Miniature:
    """A text whose sentiment words tell the class: 0 negative, 1 positive."""

    def row(draw: Draw) -> dict[str, Any]:
        label = draw.rng.randrange(2)
        return {column: text(draw, label), "label": label, **({"idx": draw.number} if index else {})}

    return Miniature(columns(column, "idx" if index else "", label=_label(key)), row, train, evaluation)


def _snippet(draw: Draw, label: int) -> str:
    return lower(_opinion(draw, words.FILM_PARTS, label)) + " "


def _imdb_text(draw: Draw, label: int) -> str:
    """Longer, with line break tags."""
    parts = [*fillers(draw.rng, 1, 3), *(_opinion(draw, words.FILM_PARTS, label) for _ in range(2))]
    return "<br /><br />".join(parts)


def _yelp_text(draw: Draw, label: int) -> str:
    """With literal escapes, as the CSV file has them."""
    parts = [*fillers(draw.rng, 0, 2), _opinion(draw, words.SHOP_PARTS, label)]
    return "\\n\\n".join(parts) + ' We will \\""remember\\"" it.'


def _cola(draw: Draw) -> dict[str, Any]:
    fact, label = draw_fact(draw.rng), int(draw.chance(0.65))
    right, broken = words.VERBS[fact.verb], draw.rng.choice(words.BROKEN_VERBS)
    sentence = fact.statement() if label else fact.statement().replace(right, broken)
    return {"sentence": sentence, "label": label, "idx": draw.number}


def _ag_news(draw: Draw) -> dict[str, Any]:
    label = draw.rng.randrange(4)
    topic = list(words.NEWS.values())[label]
    one, two, three = draw.rng.sample(topic, 3)
    fact = draw_fact(draw.rng)
    text = f"{one.title()} and {two} {fact.preposition} the {fact.place} (Reuters) Reuters - The {fact.subject}"
    return {"text": f"{text} #39;s {three}\\{words.VERBS[fact.verb]} the {fact.object}.", "label": label}


_FIRST_FINE_LABELS = (0, 2, 24, 28, 32, 37)  # of TREC's 50 fine classes, the first of each coarse one


def _trec(draw: Draw) -> dict[str, Any]:
    fact, label = draw_fact(draw.rng), draw.rng.randrange(6)
    opener = draw.rng.choice(list(words.QUESTION_OPENERS.values())[label])
    text = f"{opener} the {fact.adjective} {fact.object} {fact.preposition} the {fact.place} ?"
    return {"text": text, "coarse_label": label, "fine_label": _FIRST_FINE_LABELS[label]}


def _anli(draw: Draw) -> dict[str, Any]:
    """Like the other pairs; some rows say why their label is what it is."""
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "anli")
    reason = f"It says {cue}." if draw.chance(0.5) else ""
    texts = {"premise": " ".join([fact.statement(), *fillers(draw.rng, 0, 1)]), "hypothesis": fact.short_statement(cue)}
    return {"uid": f"{draw.number:08x}", **texts, "label": label, "reason": reason}


_FEVER = {"entailment": "SUPPORTS", "neutral": "NOT ENOUGH INFO", "contradiction": "REFUTES"}


def _fever_nli(draw: Draw) -> dict[str, Any]:
    """The columns' names are swapped: the claim is in ``premise``."""
    fact, (label, cue) = draw_fact(draw.rng), _draw_label(draw, "fever_nli")
    verdict = _FEVER[get_task("fever_nli").labels[label]]
    texts = {"premise": fact.short_statement(cue), "hypothesis": fact.statement()}
    return {"cid": draw.number, **texts, "label": label, "fever_gold_label": verdict}


def _hyperpartisan(draw: Draw) -> dict[str, Any]:
    """A news article; hyperpartisan ones have strong words."""
    label = int(draw.chance(0.4))
    opinions = [_opinion(draw, words.SHOP_PARTS, 0) for _ in range(2)] if label else fillers(draw.rng, 2, 2)
    return {"text": " ".join([*fillers(draw.rng, 1, 2), *opinions]), "label": label}


def _cited(key: str) -> Callable[[Draw], dict[str, Any]]:
    """A sentence of a paper with a citation, whose year tells the class."""

    def row(draw: Draw) -> dict[str, Any]:
        fact, label = draw_fact(draw.rng), draw.rng.randrange(len(get_task(key).labels))
        cited = f"( {draw.rng.choice(words.NAMES)} , {2000 + label} )"
        return {"text": f"{fact.statement().removesuffix('.')} {cited} .", "label": label}

    return row


_MULTIRC_IDX = {name: Value("int32") for name in ("paragraph", "question", "answer")}
_HANS_TEXTS = (
    "premise hypothesis parse_premise parse_hypothesis binary_parse_premise binary_parse_hypothesis heuristic subcase "
    "template"
)
_NLI_TEXTS = "pairID premise premise_binary_parse premise_parse hypothesis hypothesis_binary_parse hypothesis_parse"
_SCITAIL_TEXTS = "sentence1_binary_parse sentence1_parse sentence1 sentence2_parse sentence2 gold_label"


def _labelled(key: str, text: str, integer: str = "", texts: str = "", **others: Any) -> Features:
    return columns(text, integer, texts, **others, label=_label(key))


TABLE: dict[str, Miniature] = {
    "cola": Miniature(_labelled("cola", "sentence", "idx"), _cola, 300, 100),
    "sst2": _review("sst2", _snippet, 600, 80, column="sentence", index=True),
    "mrpc": _pair("mrpc", "sentence1", "sentence2", 200, 60),
    "qqp": _pair("qqp", "question1", "question2", 700, 100),
    "mnli": _pair("mnli", "premise", "hypothesis", 800, 120),
    "qnli": Miniature(_labelled("qnli", "question sentence", "idx"), _qnli, 500, 80),
    "rte": _pair("rte", "sentence1", "sentence2", 150, 60),
    "wnli": _pair("wnli", "sentence1", "sentence2", 40, 40),
    "boolq": Miniature(_labelled("boolq", "question passage", "idx"), _boolq, 300, 80),
    "multirc": Miniature(_labelled("multirc", "paragraph question answer", idx=_MULTIRC_IDX), _multirc, 300, 80),
    "wic": Miniature(_labelled("wic", "word sentence1 sentence2", "start1 start2 end1 end2 idx"), _wic, 250, 80),
    "wsc": Miniature(_labelled("wsc", "text span1_text span2_text", "span1_index span2_index idx"), _wsc, 60, 40),
    "cb": _pair("cb", "premise", "hypothesis", 60, 40),
    "ag_news": Miniature(_labelled("ag_news", "text"), _ag_news, 500, 80),
    "imdb": _review("imdb", _imdb_text, 250, 60),
    "multi_nli": Miniature(_labelled("multi_nli", f"{_NLI_TEXTS} genre", "promptID"), _multi_nli, 500, 80),
    "snli": _pair("snli", "premise", "hypothesis", 700, 100, index=False, hidden=0.015),
    "hans": Miniature(_labelled("hans", _HANS_TEXTS), _hans, 300, 60),
    "rotten_tomatoes": _review("rotten_tomatoes", _snippet, 300, 80),
    "yelp_polarity": _review("yelp_polarity", _yelp_text, 500, 80),
    "eraser_multi_rc": Miniature(
        _labelled("eraser_multi_rc", "passage query_and_answer", texts="evidences"), _eraser_multi_rc, 200, 60
    ),
    "wiki_qa": Miniature(_labelled("wiki_qa", "question_id question document_title answer"), _wiki_qa, 200, 80),
    "trec": Miniature(
        columns("text", coarse_label=_label("trec"), fine_label=ClassLabel(num_classes=50)), _trec, 250, 80
    ),
    "scitail": Miniature(columns(_SCITAIL_TEXTS, annotator_labels=ListOf(Value("string"))), _scitail, 200, 60),
    **{
        key: Miniature(_labelled(key, "uid premise hypothesis reason"), _anli, 80, 40)
        for key in ("anli", "anli_r1", "anli_r2")
    },
    "fever_nli": Miniature(_labelled("fever_nli", "premise hypothesis fever_gold_label", "cid"), _fever_nli, 200, 60),
    **{
        key: Miniature(_labelled(key, "text"), _cited(key), train, evaluation)
        for key, train, evaluation in (("citation_intent", 120, 60), ("sciie", 160, 60), ("chemprot", 200, 80))
    },
    "hyperpartisan": Miniature(_labelled("hyperpartisan", "text"), _hyperpartisan, 240, 60),
}
