import pytest

from actors.index.featured import signals_of
from actors.index.question import wish_of
from actors.messages import Chunk

FILE_NAME, FOLDER, DEFINITION, PHRASE, NEIGHBOURS, ASIDE = range(6)


def chunk(path="src/app.py", text="pass", symbol="", language="python"):
    return Chunk(path, 1, 1 + text.count("\n"), language, symbol, text)


def share(what, query, **of):
    return signals_of([1], [chunk(**of)], wish_of(query)).shares[0, what]


def test_a_file_is_told_by_its_name():
    assert share(FILE_NAME, "how are routes registered", path="web/routing.py") == 1.0
    assert share(FILE_NAME, "how are routes registered", path="web/route_table.py") == 0.5
    assert share(FILE_NAME, "how are routes registered", path="web/app.py") == 0.0


def test_folders_are_told_by_the_words_of_the_query():
    assert share(FOLDER, "security of tokens", path="security/http.py") == 0.5


@pytest.mark.parametrize(
    ("of", "defines"),
    [
        ({"symbol": "Router.search"}, True),
        ({"symbol": "Index.search"}, True),
        ({"symbol": "research"}, False),
        ({"text": "def search(self):\n    return 1"}, True),
        ({"text": "found = search(query)"}, False),
    ],
)
def test_a_definition_of_what_is_named_is_told(of, defines):
    assert share(DEFINITION, "search", **of) == defines


def test_what_is_quoted_is_found_over_line_ends():
    assert share(PHRASE, '"too many open files"', text="raise Too Many\n    open files") == 1.0
    assert share(PHRASE, '"too many open files"', text="too many files") == 0.0
    assert share(PHRASE, "too many open files", text="too many open files") == 0.0


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("it retries the failed upload", 1.0),
        ("an upload that fails is retried", 1.0),
        ("def retryFailedUpload(): ...", 1.0),
        ("failed uploads, " + "and so on, " * 5 + "are retried", 0.5),
        ("failed" + " and so on" * 9 + " upload" + " and so on" * 9 + " retry", 0.0),
        ("retry retry upload upload", 0.5),
        ("", 0.0),
    ],
)
def test_words_that_follow_one_another_are_looked_for_near_one_another(text, near):
    assert share(NEIGHBOURS, "how is the failed upload retried?", text=text) == near


def test_a_single_word_has_no_neighbour():
    assert share(NEIGHBOURS, "upload", text="upload") == 0.0


@pytest.mark.parametrize(
    "path",
    [
        "tests/app.py",
        "src/test_app.py",
        "pkg/app_test.go",
        "web/app.spec.ts",
        "examples/one.py",
        "vendor/x/y.go",
        "api/service_pb2.py",
        "api/service.pb.go",
        "types/index.d.ts",
        "static/app.min.js",
        "conftest.py",
    ],
)
def test_tests_examples_and_generated_code_stand_aside_unless_asked_for(path):
    assert share(ASIDE, "the app", path=path) == 1.0
    assert share(ASIDE, "tests of the app", path=path) == 0.0


@pytest.mark.parametrize("path", ["src/contest.py", "latest/app.py", "src/attestation.go"])
def test_what_only_sounds_like_a_test_does_not(path):
    assert share(ASIDE, "the app", path=path) == 0.0


def test_sketches_of_copies_overlap_however_they_are_indented():
    text = "\n".join(f"line number {n}" for n in range(30))
    moved = "\n".join(f"    line number {n}" for n in range(30))
    other = "\n".join(f"another {n}" for n in range(30))
    wish = wish_of("x")
    lines = signals_of([1, 2, 3], [chunk(text=t) for t in (text, moved, other)], wish).lines
    assert lines[0] == lines[1]
    assert not lines[0] & lines[2]
