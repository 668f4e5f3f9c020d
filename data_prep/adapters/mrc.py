"""Reading comprehension: a question, a context, and where in the context the answer stands.

Datasets that name answers without offsets get them here, by searching the context for the answer's text as whole words.
Rows whose answer cannot be pointed at are unusable, in training and in evaluation: a span head cannot reach them. That
a context holds no answer is an answer where the task has such questions (SQuAD 2.0).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from data_prep.adapters.adapter import NO_ANSWER, AdapterFor, Row, adapter_of, read_text
from data_prep.examples import SpanExample, Unusable
from recipe.tasks import Task

Span = tuple[int, int]  # [start, end) in characters of the context

NOT_FOUND = "the answer is not in the context"
SEVERAL_SPANS = "several spans are one answer"

# Comparison questions are answered yes or no: words in front of the context make them spans like the others.
YES_NO = "yes no\n"
_YES_NO_SPANS: dict[str, Span] = {"yes": (0, 3), "no": (4, 6)}


def find_spans(context: str, answers: Iterable[str], ignore_case: bool = False) -> list[Span]:
    """Where any of the answers stands in the context as whole words, in order; a longer answer wins over its part."""
    patterns = [_whole_words(answer) for answer in sorted(set(answers), key=lambda a: (-len(a), a)) if answer.strip()]
    if not patterns:
        return []
    return [m.span() for m in re.finditer("|".join(patterns), context, re.IGNORECASE if ignore_case else 0)]


def _whole_words(text: str) -> str:
    """A pattern for the text that does not match inside a word, nor a number inside a longer one (3 in 1.3)."""
    left = r"(?<!\w)" if re.match(r"\w", text) else ""
    right = r"(?!\w)" if re.search(r"\w$", text) else ""
    left += r"(?<!\d[.,])" if text[0].isdigit() else ""
    right += r"(?![.,]\d)" if text[-1].isdigit() else ""
    return left + re.escape(text) + right


def _example(question: str, context: str, spans: Sequence[Span], answers: Iterable[str]) -> SpanExample:
    """The example, with repeated spans and answers kept once; raises :class:`Unusable` where there is no span."""
    if not spans:
        raise Unusable(NOT_FOUND)
    return SpanExample(read_text(question), context, tuple(dict.fromkeys(spans)), tuple(dict.fromkeys(answers)))


def _squad(task: Task, row: Row) -> SpanExample:
    """Offsets count the context's leading spaces, so the context is not stripped."""
    context, texts = row["context"], row["answers"]["text"]
    if not texts and task.has_unanswerable:
        return SpanExample(read_text(row["question"]), context, (), ())
    if not texts:
        raise Unusable(NO_ANSWER)
    spans = [(start, start + len(text)) for text, start in zip(texts, row["answers"]["answer_start"], strict=True)]
    if any(context[start:end] != text or not text for (start, end), text in zip(spans, texts, strict=True)):
        raise Unusable("the answer is not where its offset says")
    return _example(row["question"], context, spans, texts)


def _drop(task: Task, row: Row) -> SpanExample:
    """DROP (arXiv 1903.00161): the rows whose answer is one span of the passage.

    Most of DROP's numbers are results of counting or arithmetic that stand nowhere in the passage: dropped.
    The Hub lists the spans of one answer and, in validation, the answers of several annotators in the same way.
    Entries are taken as alternatives if one is a number or a date (such an answer is never a list), or if the longest
    contains all others, as annotators' wordings of one span do. Otherwise they are taken as one answer of several
    spans and the row is dropped, so that half a list is never learned as an answer.
    """
    passage = row["passage"]
    answers = [text.strip() for text in row["answers_spans"]["spans"] if text.strip()]
    if not answers:
        raise Unusable(NO_ANSWER)
    longest = max(answers, key=len).lower()
    is_list = set(row["answers_spans"]["types"]) == {"span"} and any(a.lower() not in longest for a in answers)
    if is_list:
        raise Unusable(SEVERAL_SPANS)
    return _example(row["question"], passage, find_spans(passage, answers), answers)


def _record(task: Task, row: Row) -> SpanExample:
    """ReCoRD: the query keeps its ``@placeholder``; the right spans are the entities whose text is an answer."""
    passage, entities, answers = row["passage"], row["entity_spans"], row["answers"]
    if not answers:
        return SpanExample(read_text(row["query"]), passage, (), None)
    placed = zip(entities["text"], entities["start"], entities["end"], strict=True)
    spans = [(start, end) for text, start, end in placed if text in answers and passage[start:end] == text]
    return _example(row["query"], passage, spans, answers)


def _hotpot_qa(task: Task, row: Row) -> SpanExample:
    """HotpotQA, distractor setting: "yes no" and the ten paragraphs, each under its title.

    There are no offsets: the answer's occurrences in the supporting paragraphs count, those in others only if the
    supporting ones have none.
    """
    answer = read_text(row["answer"])
    context, supporting = YES_NO, []
    for title, sentences in zip(row["context"]["title"], row["context"]["sentences"], strict=True):
        start = len(context)
        context += f"{title}\n{''.join(sentences).strip()}\n"
        if title in row["supporting_facts"]["title"]:
            supporting.append((start, len(context)))
    if answer in _YES_NO_SPANS:
        return _example(row["question"], context, [_YES_NO_SPANS[answer]], [answer])
    found = [span for span in find_spans(context, [answer]) if span[0] >= len(YES_NO)]
    supported = [(s, e) for s, e in found if any(start <= s and e <= end for start, end in supporting)]
    return _example(row["question"], context, supported or found, [answer])


def _trivia_qa(task: Task, row: Row) -> SpanExample:
    """TriviaQA (arXiv 1705.03551), distantly supervised: the first evidence document that names the answer.

    Wikipedia pages come before search results; any alias in any case counts. Evaluation therefore reads a document
    that holds the answer, which is easier than the official setting.
    """
    answer = row["answer"]
    if answer["value"] == "<unk>":  # the test split
        raise Unusable(NO_ANSWER)
    answers = [text.strip() for text in (answer["value"] or "", *(answer["aliases"] or ())) if text.strip()]
    for document in (*row["entity_pages"]["wiki_context"], *row["search_results"]["search_context"]):
        if spans := find_spans(document, answers, ignore_case=True):
            return _example(row["question"], document, spans, answers)
    raise Unusable(NOT_FOUND)


def _natural_questions(task: Task, row: Row) -> SpanExample:
    """Natural Questions as reading comprehension: the paragraph of the long answer, and the short answer in it.

    As in MRQA (arXiv 1910.09753): questions without a short answer are dropped, and the page is cut to the first
    annotator's paragraph that holds one. Offsets count the page's tokens, HTML tags included; the context has the
    others, joined by spaces, after "yes no". Annotators who chose another paragraph are left out.
    """
    notes = row["annotations"]
    annotators = zip(notes["long_answer"], notes["short_answers"], notes["yes_no_answer"], strict=True)
    answered = [
        ((long["start_token"], long["end_token"]), short, yes_no)
        for long, short, yes_no in annotators
        if long["start_token"] >= 0 and (short["start_token"] or yes_no >= 0)
    ]
    if not answered:
        raise Unusable(NO_ANSWER)
    paragraph = answered[0][0]
    context, offsets = _paragraph(row["document"]["tokens"], paragraph)
    spans: list[Span] = []
    for chosen, short, yes_no in answered:
        if chosen != paragraph:
            continue
        if yes_no >= 0:
            spans.append(_YES_NO_SPANS["yes" if yes_no else "no"])
        elif len(short["start_token"]) == 1:
            kept = [offsets[i] for i in range(short["start_token"][0], short["end_token"][0]) if i in offsets]
            spans.extend([(kept[0][0], kept[-1][1])] if kept else [])
    if not spans:
        raise Unusable(SEVERAL_SPANS)
    return _example(row["question"]["text"], context, spans, [context[start:end] for start, end in spans])


def _paragraph(tokens: Row, bounds: Span) -> tuple[str, dict[int, Span]]:
    """The text of the tokens ``[start, end)`` after "yes no", and the character span of each that is no HTML tag."""
    words, offsets, position = [], {}, len(YES_NO)
    for index in range(*bounds):
        if not tokens["is_html"][index]:
            word = tokens["token"][index]
            words.append(word)
            offsets[index] = (position, position + len(word))
            position += len(word) + 1
    return YES_NO + " ".join(words), offsets


TABLE: dict[str, AdapterFor] = {
    "squad": adapter_of(("context", "question", "answers"), _squad),
    "squad_v2": adapter_of(("context", "question", "answers"), _squad),
    "natural_questions": adapter_of(
        ("document", "question", "annotations"),
        _natural_questions,
        {
            NO_ANSWER: "about two questions in three have no short answer, or none at all",
            SEVERAL_SPANS: "a list of short answers is one answer",
        },
    ),
    "drop": adapter_of(
        ("passage", "question", "answers_spans"),
        _drop,
        {
            NOT_FOUND: "numbers that are results of counting or arithmetic, and dates put together, stand nowhere",
            SEVERAL_SPANS: "answers that are lists",
        },
    ),
    "record": adapter_of(("passage", "query", "entity_spans", "answers"), _record),
    "hotpot_qa": adapter_of(("question", "answer", "context", "supporting_facts"), _hotpot_qa),
    "trivia_qa": adapter_of(
        ("question", "entity_pages", "search_results", "answer"),
        _trivia_qa,
        {NOT_FOUND: "distant supervision: the evidence was found by the question, and is cut"},
    ),
}
