import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.index.question import QueryKind, forms, stem, stems_of, telling_terms, wish_of


def test_function_words_are_left_out_unless_there_is_nothing_else():
    assert telling_terms("how are the routes registered?") == {"routes": 1, "registered": 1}
    assert telling_terms("to be or not to be") == {"to": 2, "be": 2, "or": 1, "not": 1}


@pytest.mark.parametrize(
    ("word", "form"),
    [
        ("routes", "routing"),
        ("retries", "retry"),
        ("stopped", "stop"),
        ("embedding", "embed"),
        ("queries", "queried"),
        ("classes", "class"),
        ("parse", "parsing"),
    ],
)
def test_regular_forms_of_a_word_lead_to_each_other(word, form):
    assert stem(word) == stem(form)
    assert form in forms(word)
    assert word in forms(form)


@pytest.mark.parametrize("word", ["utf8", "foo_bar", "bus", "größe", "string", "is"])
def test_what_is_no_regular_english_word_stands_for_itself(word):
    assert stem(word) == word
    assert not [form for form in forms(word) if not form.startswith(word)]


@given(st.text(alphabet="abcdefinrsy", max_size=9))
def test_the_forms_of_a_word_have_its_stem_and_are_not_itself(word):
    assert all(stem(form) == stem(word) and form != word for form in forms(word))


def test_identifiers_are_taken_in_their_parts():
    assert stems_of("the parseHeaders") == {"pars", "header"}


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("how are routes registered", QueryKind.PROSE),
        ("HTTPException", QueryKind.NAME),
        ("Router.search()", QueryKind.NAME),
        ("std::vector", QueryKind.NAME),
        ("src/app/routing.py", QueryKind.PATH),
        ("routing.py", QueryKind.PATH),
        ("os.path", QueryKind.NAME),
        ('"too many open files" error', QueryKind.PHRASE),
    ],
)
def test_kinds_of_queries_are_told_apart(query, kind):
    assert wish_of(query).kind is kind


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("HTTPException", ("HTTPException",)),
        ("where is `retry` called from", ("retry",)),
        ("what does Router.search() do", ("Router.search",)),
        ("difference of parse_header and parseBody", ("parse_header", "parseBody")),
        ("the GPU and its memory", ()),
        ("Where is Python used?", ()),
    ],
)
def test_names_are_found_in_prose(query, names):
    assert wish_of(query).names == names


def test_phrases_are_what_is_quoted():
    assert wish_of('find "Too many\n open files" and “that”').phrases == (
        "too many open files",
        "that",
    )


def test_neighbours_are_telling_words_that_follow_one_another_each_two_once():
    wish = wish_of("why is a failed upload of failed uploads retried?")
    assert wish.neighbours == (
        ("failed", "upload"),
        ("failed", "uploads"),
        ("retried", "uploads"),
    )


def test_a_query_about_tests_asks_for_them():
    assert wish_of("tests of the router").aside
    assert not wish_of("the router").aside


@given(st.text(max_size=200))
def test_whatever_is_asked_has_a_wish(query):
    assert wish_of(query).kind in QueryKind
