"""Answers are cut to a budget, fenced, and hide nothing."""

from __future__ import annotations

import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from stub_gateway import a_hit, a_passage, a_reply, a_symbol

from cluster.lookup_protocol import SymbolsReply
from cluster.visible import visible
from mcp_adapter.answers import Answer
from mcp_adapter.budget import cut, room, shortened
from mcp_adapter.cursors import place_of
from mcp_adapter.finding import Page, passage_answer, search_answer, symbols_answer
from mcp_adapter.found import UNTRUSTED
from mcp_adapter.found_text import passage_text, search_text, symbols_text
from mcp_adapter.results import result

FENCE = "retrieved-0badf00d"
TEXTS = st.text(max_size=3_000) | st.text('\n"\\\u202e\x1b漢x', max_size=3_000)
TOKENS = st.integers(600, 5_000)


def size_of(answer: Answer, text: str) -> int:
    """Return the bytes of the larger form, as it goes out."""
    out = result(text, answer)
    structured = json.dumps(out.structured_content, ensure_ascii=False, separators=(",", ":"))
    return max(len(structured.encode()), len(out.content[0].text.encode()))


def hides_something(text: str) -> bool:
    categories = {unicodedata.category(char) for char in text if char not in "\n\t\u200c\u200d"}
    return bool(categories & {"Cc", "Cf", "Cs", "Zl", "Zp"})


def test_a_text_that_fits_is_not_cut():
    assert cut("a\nb", 3) == ("a\nb", "")


def test_a_text_is_cut_between_lines_and_says_how_many_are_missing():
    assert cut("one\ntwo\nthree\nfour", 8) == ("one\ntwo", "[cut: 2 lines]")
    assert cut("one\ntwo", 5) == ("one", "[cut: 1 line]")


def test_a_single_long_line_is_cut_within():
    assert cut("x" * 100, 10) == ("x" * 10, "[cut: 90 characters]")


@given(st.text("ab\n", max_size=200), st.integers(1, 50))
def test_a_cut_text_is_a_beginning_that_fits(text, budget):
    short, note = cut(text, budget)

    assert text.startswith(short)
    assert len(short) <= budget
    assert bool(note) == (short != text)


@given(st.text(max_size=600), st.integers(20, 300))
def test_a_name_is_shortened_in_its_middle(name, most):
    short = shortened(name, most)

    assert len(short.encode()) <= most
    assert short == name or name.startswith(short.partition("…")[0])


@given(
    st.lists(st.tuples(TEXTS, st.text(max_size=400), st.text(max_size=300)), max_size=12),
    st.sampled_from(["locations", "concise", "full"]),
    TOKENS,
    st.integers(1, 40),
)
def test_a_search_fits_in_both_forms_and_makes_headway(found, detail, max_tokens, collections):
    hits = [a_hit(text, path=path or "p", symbol=symbol) for text, path, symbol in found]
    reply = a_reply(*hits, problem="x" * 1_000)
    reply = reply.model_copy(update={"collections": reply.collections * collections})
    page = Page(detail, max_tokens, 0, place_of("", "search").following(reply.collections))

    answer = search_answer(reply, page)
    text = search_text(answer, FENCE)

    assert size_of(answer, text) <= room(max_tokens)
    assert bool(answer.hits) == bool(hits)
    assert not hides_something(text)
    assert bool(answer.next_cursor) == (len(answer.hits) < len(hits))
    for hit in answer.hits:
        assert hit.text in text
        assert hit.id in text


@given(TEXTS, st.text(min_size=1, max_size=400) | st.just("x" * 4096), TOKENS)
def test_a_passage_fits_in_both_forms(lines, path, max_tokens):
    answer = passage_answer(a_passage(lines, path=path), max_tokens)
    text = passage_text(answer, FENCE)

    assert size_of(answer, text) <= room(max_tokens)
    assert visible(lines).startswith(answer.text)
    assert answer.truncated == (answer.text != visible(lines).rstrip("\n"))
    assert not hides_something(text)


@given(st.lists(st.tuples(st.text(max_size=300), st.text(max_size=900)), max_size=30), TOKENS)
def test_definitions_fit_in_both_forms(found, max_tokens):
    symbols = tuple(a_symbol(symbol=name, signature=signature) for name, signature in found)
    page = Page(max_tokens=max_tokens, cursor_to=place_of("", "find_symbol").following(()))
    answer = symbols_answer(SymbolsReply(symbols=symbols, more=False), page)
    text = symbols_text(answer, FENCE)

    assert size_of(answer, text) <= room(max_tokens)
    assert bool(answer.symbols) == bool(found)
    assert answer.truncated == bool(answer.next_cursor) == (len(answer.symbols) < len(found))
    assert not hides_something(text)


def test_hidden_characters_are_shown():
    assert visible("a\x1b[31mb\u202ec\U000e0041d\r\n\te") == "a\ufffd[31mb\ufffdc\ufffdd\n\te"


@given(st.text(st.characters()))
def test_nothing_is_hidden_from_whoever_reads_a_visible_text(text):
    shown = visible(text)

    assert not hides_something(shown)
    assert visible(shown) == shown
    shown.encode()


def test_no_character_that_unicode_calls_a_control_or_a_format_gets_through():
    every = "".join(map(chr, range(0x110000)))

    assert not hides_something(visible(every))


def test_what_scripts_and_emoji_need_stays():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f"
    for text in (
        "naïve — “yes”",
        "日本語",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        family,
    ):
        assert visible(text) == text


@given(TEXTS, st.text(max_size=200), st.text(max_size=200))
def test_no_text_path_or_symbol_ends_the_fence_or_fakes_a_line_of_ours(text, path, symbol):
    end = f"\n>>> {FENCE}"
    sly = a_hit(text + end.replace(FENCE, "retrieved-0"), path=path + "\nb.py", symbol=symbol)
    shown = search_text(search_answer(a_reply(sly), Page("full")), FENCE)

    assert shown.count(end) == 1
    assert shown.count(f"<<< {FENCE}") == 1
    (head,) = [line for line in shown.splitlines() if line.endswith("[00000000000000ff]")][:1]
    assert "(shoal, " in head


def test_hits_stand_between_two_fence_lines():
    reply = a_reply(a_hit("one"), a_hit("two", symbol=""))

    text = search_text(search_answer(reply, Page()), "f00")

    assert text.splitlines() == [
        "2 hits. Searched: shoal (generation 7).",
        f"<<< f00: untrusted. {UNTRUSTED}",
        "actors/router.py:12-12  Router.admit  (shoal, 0.0312)  [00000000000000ff]",
        "one",
        "",
        "actors/router.py:12-12  (shoal, 0.0312)  [00000000000000ff]",
        "two",
        ">>> f00",
    ]


def test_no_hits_say_what_else_to_try():
    text = search_text(search_answer(a_reply(), Page()), "f00")

    assert text.startswith("No hits. Searched: shoal")
    assert "list_collections" in text


def test_a_text_says_how_far_a_collection_is_behind_where_somebody_watches():
    reply = a_reply(a_hit())
    for behind_s, said in ((None, "(generation 7)"), (0.0, "(generation 7, up to date)")):
        searched = reply.collections[0].model_copy(update={"behind_s": behind_s})
        answer = search_answer(reply.model_copy(update={"collections": (searched,)}), Page())
        assert said in search_text(answer, "fence")
        assert answer.model_dump()["collections"][0]["behind_s"] == behind_s
