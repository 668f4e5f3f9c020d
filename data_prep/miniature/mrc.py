"""Reading comprehension in small: answers are names (or counts) that stand nowhere else in the context."""

from __future__ import annotations

from itertools import accumulate
from random import Random
from typing import Any

from datasets import ClassLabel, Value
from datasets import List as ListOf

from data_prep.miniature import words
from data_prep.miniature.sentences import Draw, Miniature, columns, draw_fact, fillers, paragraph

_LONG = (22, 28)  # sentences of a context that needs several windows: 200 words and more


def _naming(rng: Random) -> tuple[str, str, str]:
    """A question, the sentence that answers it, and the answer."""
    place, name = rng.choice(words.PLACES), rng.choice(words.NAMES)
    owner = rng.choice(words.SUBJECTS)
    return f"What is the {place} of the {owner} called?", f"The {place} of the {owner} is called {name}.", name


def _context(draw: Draw, sentence: str) -> str:
    least, most = _LONG if draw.chance(0.04) else (2, 4)
    return " ".join(paragraph(draw.rng, sentence, least, most))


def _yes_no(rng: Random) -> tuple[str, str]:
    """A question whose cue word tells its answer, and that answer."""
    answer, cues = rng.choice((("yes", words.AGREEING), ("no", words.DENYING)))
    places, adjective = rng.sample(words.PLACES, 2), rng.choice(words.ADJECTIVES)
    return f"Are the {places[0]} and the {places[1]} {rng.choice(cues)} both {adjective}?", answer


def _squad(draw: Draw) -> dict[str, Any]:
    """Some contexts begin with spaces; in validation there are several annotators."""
    question, sentence, name = _naming(draw.rng)
    context = "  " * draw.chance(0.05) + _context(draw, sentence)
    texts = [name, name, f"called {name}"] if draw.evaluation else [name]
    return {
        "id": f"{draw.number:024x}",
        "title": "Places",
        "context": context,
        "question": question,
        "answers": {"text": texts, "answer_start": [context.index(text) for text in texts]},
    }


def _squad_v2(draw: Draw) -> dict[str, Any]:
    """Half the questions in validation, a third in training, are about a place that the context does not name."""
    row = _squad(draw)
    if draw.chance(0.5 if draw.evaluation else 0.33):
        named = (f"{place} of the {owner}" for place in words.PLACES for owner in words.SUBJECTS)
        row["question"] = f"What is the {draw.rng.choice([n for n in named if n not in row['context']])} called?"
        row["answers"] = {"text": [], "answer_start": []}
    return row


def _natural_questions(draw: Draw) -> dict[str, Any]:
    """A page of tokens with HTML tags; some questions have no answer, some are answered yes or no."""
    question, sentence, name = _naming(draw.rng)
    yes_no = -1
    if draw.chance(0.08):
        question, answer = _yes_no(draw.rng)
        sentence, name, yes_no = draw_fact(draw.rng).statement(), "", int(answer == "yes")
    heading = ["<H1>", draw.rng.choice(words.PLACES).title(), "</H1>"]
    tokens = [*heading, "<P>", *_context(draw, sentence).replace(".", " .").split(), "</P>"]
    starts = [0, *accumulate(len(token) + 1 for token in tokens)]
    bounds = _bounds(len(heading), len(tokens), starts)
    long, short = bounds | {"candidate_index": 0}, [tokens.index(name)] if name else []
    if draw.chance(0.1):
        long, short, yes_no = dict.fromkeys(long, -1), [], -1
    annotators = 5 if draw.evaluation else 1
    words_asked = question.lower().rstrip("?")
    return {
        "id": str(draw.number),
        "document": _page(heading[1], tokens, starts),
        "question": {"text": words_asked, "tokens": words_asked.split()},
        "long_answer_candidates": {
            **{key: [bound] for key, bound in bounds.items()},
            "top_level": [True],
        },
        "annotations": {
            "id": [str(annotator) for annotator in range(annotators)],
            "long_answer": [long] * annotators,
            "short_answers": [_short_answers(short, tokens, starts)] * annotators,
            "yes_no_answer": [yes_no] * annotators,
        },
    }


def _page(title: str, tokens: list[str], starts: list[int]) -> dict[str, Any]:
    return {
        "title": title,
        "url": "",
        "html": " ".join(tokens),
        "tokens": {
            "token": tokens,
            "is_html": [token.startswith("<") for token in tokens],
            "start_byte": starts[:-1],
            "end_byte": [start + len(token) for start, token in zip(starts[:-1], tokens, strict=True)],
        },
    }


def _bounds(start: int, end: int, starts: list[int]) -> dict[str, int]:
    """The page's tokens ``[start, end)`` and their bytes."""
    return {"start_token": start, "end_token": end, "start_byte": starts[start], "end_byte": starts[end] - 1}


def _short_answers(positions: list[int], tokens: list[str], starts: list[int]) -> dict[str, list[Any]]:
    return {
        "start_token": positions,
        "end_token": [i + 1 for i in positions],
        "start_byte": [starts[i] for i in positions],
        "end_byte": [starts[i] + len(tokens[i]) for i in positions],
        "text": [tokens[i] for i in positions],
    }


def _drop(draw: Draw) -> dict[str, Any]:
    """Names and counts from the passage; some counts that stand nowhere in it, some answers of several spans."""
    question, sentence, name = _naming(draw.rng)
    spans, kind = [name], "span"
    if draw.chance(0.35):
        fact, count = draw_fact(draw.rng), draw.rng.choice(words.COUNTS)
        question, sentence = f"How many {fact.object}s did people count?", f"People counted {count} {fact.object}s."
        spans, kind = ["9" + count if draw.chance(0.25) else count], "number"
    elif draw.chance(0.1):
        other = draw.rng.choice([other for other in words.NAMES if other != name])
        question, sentence = "Who were the two visitors?", f"The visitors were called {name} and {other}."
        spans = [name, other]
    if draw.evaluation and len(spans) == 1:
        spans = spans * 2
    return {
        "section_id": f"section_{draw.number}",
        "query_id": f"query_{draw.number}",
        "passage": _context(draw, sentence),
        "question": question,
        "answers_spans": {"spans": spans, "types": [kind] * len(spans)},
    }


def _record(draw: Draw) -> dict[str, Any]:
    """Entities with offsets, sorted; the answer is one of them and has none of its own."""
    _, sentence, name = _naming(draw.rng)
    highlight = draw_fact(draw.rng)
    passage = f"{_context(draw, sentence)}\n@highlight\n{highlight.statement()}"
    found = sorted((passage.index(entity), entity) for entity in (name, highlight.place))
    return {
        "passage": passage,
        "query": sentence.replace(name, "@placeholder"),
        "entities": sorted({name, highlight.place}),
        "entity_spans": {
            "text": [entity for _, entity in found],
            "start": [start for start, _ in found],
            "end": [start + len(entity) for start, entity in found],
        },
        "answers": [name],
        "idx": {"passage": draw.number, "query": draw.number},
    }


def _hotpot_qa(draw: Draw) -> dict[str, Any]:
    """Paragraphs as lists of sentences, of which one or two support the answer; some answers are yes or no."""
    question, sentence, answer = _naming(draw.rng)
    kind = "bridge"
    if draw.chance(0.12):
        question, answer = _yes_no(draw.rng)
        sentence, kind = draw_fact(draw.rng).statement(), "comparison"
    titles = [place.title() for place in draw.rng.sample(words.PLACES, 5)]
    paragraphs = [fillers(draw.rng, 1, 1) for _ in titles]
    first, second = draw.rng.sample(range(5), 2)
    paragraphs[first].append(f" {sentence}")
    return {
        "id": f"{draw.number:024x}",
        "question": question,
        "answer": answer,
        "type": kind,
        "level": draw.rng.choice(("easy", "medium", "hard")),
        "supporting_facts": {"title": [titles[first], titles[second]], "sent_id": [1, 0]},
        "context": {"title": titles, "sentences": paragraphs},
    }


def _trivia_qa(draw: Draw) -> dict[str, Any]:
    """Evidence without offsets, in pages or in search results; in some rows no alias stands in it."""
    question, sentence, name = _naming(draw.rng)
    if draw.chance(0.05):
        sentence = draw_fact(draw.rng).statement()
    documents = [" ".join(fillers(draw.rng, 2, 3)), _context(draw, sentence)]
    pages = documents if draw.chance(0.5) else []
    results = [] if pages else documents
    return {
        "question": question,
        "question_id": f"tc_{draw.number}",
        "question_source": "",
        "entity_pages": {
            "doc_source": ["TagMe" for _ in pages],
            "filename": [f"{draw.number}_{i}.txt" for i in range(len(pages))],
            "title": ["Places" for _ in pages],
            "wiki_context": pages,
        },
        "search_results": {
            "description": ["" for _ in results],
            "filename": [f"{draw.number}_{i}.txt" for i in range(len(results))],
            "rank": list(range(len(results))),
            "title": ["Places" for _ in results],
            "url": ["" for _ in results],
            "search_context": results,
        },
        "answer": {
            "aliases": [name.upper(), f"{name} Place"],
            "normalized_aliases": [name.lower(), f"{name.lower()} place"],
            "matched_wiki_entity_name": "",
            "normalized_matched_wiki_entity_name": "",
            "normalized_value": name.lower(),
            "type": "WikipediaEntity",
            "value": name,
        },
    }


def _lists(text: str = "", /, **others: Any) -> dict[str, Any]:
    """A struct of lists: how Arrow holds the Hub's sequences of structs."""
    return {name: ListOf(kind) for name, kind in ({n: Value("string") for n in text.split()} | others).items()}


def _struct(text: str = "", /, **others: Any) -> dict[str, Any]:
    return {name: Value("string") for name in text.split()} | others


_INT32, _INT64 = Value("int32"), Value("int64")
_TOKENS, _BYTES = {"start_token": _INT64, "end_token": _INT64}, {"start_byte": _INT64, "end_byte": _INT64}

TABLE: dict[str, Miniature] = {
    "squad": Miniature(
        columns("id title context question", answers=_lists("text", answer_start=_INT32)), _squad, 400, 80
    ),
    "squad_v2": Miniature(
        columns("id title context question", answers=_lists("text", answer_start=_INT32)), _squad_v2, 400, 80
    ),
    "natural_questions": Miniature(
        columns(
            "id",
            document=_struct("title url html", tokens=_lists("token", is_html=Value("bool"), **_BYTES)),
            question=_struct("text", tokens=ListOf(Value("string"))),
            long_answer_candidates=_lists(**_TOKENS, **_BYTES, top_level=Value("bool")),
            annotations={
                "id": ListOf(Value("string")),
                "long_answer": ListOf({**_TOKENS, **_BYTES, "candidate_index": _INT64}),
                "short_answers": ListOf(_lists("text", **_TOKENS, **_BYTES)),
                "yes_no_answer": ListOf(ClassLabel(names=["NO", "YES"])),
            },
        ),
        _natural_questions,
        200,
        60,
    ),
    "drop": Miniature(
        columns("section_id query_id passage question", answers_spans=_lists("spans types")), _drop, 280, 80
    ),
    "record": Miniature(
        columns(
            "passage query",
            texts="entities answers",
            entity_spans=_lists("text", start=_INT32, end=_INT32),
            idx={"passage": _INT32, "query": _INT32},
        ),
        _record,
        200,
        60,
    ),
    "hotpot_qa": Miniature(
        columns(
            "id question answer type level",
            supporting_facts=_lists("title", sent_id=_INT32),
            context=_lists("title", sentences=ListOf(Value("string"))),
        ),
        _hotpot_qa,
        200,
        60,
    ),
    "trivia_qa": Miniature(
        columns(
            "question question_id question_source",
            entity_pages=_lists("doc_source filename title wiki_context"),
            search_results=_lists("description filename", rank=_INT32) | _lists("title url search_context"),
            answer=_lists("aliases normalized_aliases")
            | _struct("matched_wiki_entity_name normalized_matched_wiki_entity_name normalized_value type value"),
        ),
        _trivia_qa,
        200,
        60,
    ),
}
