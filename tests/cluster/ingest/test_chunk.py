"""Chunks cover a file exactly once, break at syntax and carry the names of what they hold."""

from __future__ import annotations

import random
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.messages import Chunk
from cluster.ingest.chunk import chunk
from cluster.ingest.grammars import GRAMMARS
from cluster.ingest.languages import PLAIN_TEXT, language_of
from cluster.ingest.packing import MAX_CHARS, TARGET_CHARS
from cluster.ingest.read import SourceFile, read_text
from cluster.ingest.walk import walk

LANGUAGES = [*GRAMMARS, "markdown", PLAIN_TEXT]


def test_a_long_function_is_split_between_statements_under_its_own_name() -> None:
    body = "".join(
        f"    if check({n}):\n        call(\n            {n},\n        )\n" for n in range(200)
    )
    chunks = chunk("a.py", f"def long():\n{body}", "python")
    assert len(chunks) > 5
    assert {each.symbol for each in chunks} == {"long"}
    assert all(each.text.startswith("    if check(") for each in chunks[1:])


def test_both_branches_of_a_large_condition_are_split() -> None:
    branch = "\n".join(["    await value.then(compute(other));"] * 60)
    chunks = chunk("a.js", f"if (x) {{\n{branch}\n}} else {{\n{branch}\n}}\n", "javascript")
    assert len(chunks) >= 4
    assert_covers(chunks, f"if (x) {{\n{branch}\n}} else {{\n{branch}\n}}\n")


def test_small_neighbours_are_merged_and_the_symbol_names_the_first_three() -> None:
    text = "\n\n".join(f"def f{n}():\n    return {n}" for n in range(5))
    [only] = chunk("a.py", text, "python")
    assert (only.start_line, only.end_line, only.symbol) == (1, 14, "f0, f1, f2")


def test_a_trailing_comment_does_not_glue_the_next_statement() -> None:
    rows = [f"name_{n} = {n}  # note" for n in range(200)]
    chunks = chunk("a.py", "\n".join(rows), "python")
    assert all(len(each.text) <= MAX_CHARS for each in chunks)
    assert all(each.symbol == "" for each in chunks)


def test_a_line_longer_than_a_chunk_is_cut_in_pieces_with_one_number() -> None:
    line = "".join(f"value{n}=" for n in range(1000))
    chunks = chunk("a.js", f"one();\n{line}1\ntwo();", "javascript")
    pieces = [each.text for each in chunks if each.start_line == each.end_line == 2]
    assert "".join(pieces) == f"{line}1"
    assert max(map(len, pieces)) == MAX_CHARS


def test_a_line_longer_than_a_chunk_is_cut_after_sentences() -> None:
    sentence = 'He said "no more than 3.5 of them." '
    heading, *parts = chunk("a.md", f"# Said\n\n{sentence * 100}\n", "markdown")
    assert heading.text == "# Said"
    assert "".join(each.text for each in parts) == sentence * 100
    assert len(parts) > 1
    assert all(each.text.endswith(sentence) for each in parts)


def test_a_long_line_without_sentences_is_cut_after_words() -> None:
    line = "words " * 1000
    chunks = chunk("a.txt", line, "text")
    assert "".join(each.text for each in chunks) == line
    assert all(each.text.endswith("words ") for each in chunks)


def test_plain_text_breaks_at_blank_lines() -> None:
    paragraph = "\n".join(["Some words that fill a paragraph of text."] * 20)
    chunks = chunk("a.txt", "\n\n".join([paragraph] * 4), "text")
    assert [(each.start_line, each.end_line) for each in chunks] == [
        (1, 20),
        (22, 41),
        (43, 62),
        (64, 83),
    ]


def test_small_markdown_sections_are_merged_under_both_trails() -> None:
    [only] = chunk("a.md", "# Guide\n\nShort.\n\n## Install\n\nAlso short.\n", "markdown")
    assert only.symbol == "Guide, Guide > Install"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", ["", "\n", " \n\t\n\x0c\n"])
def test_a_blank_file_has_no_chunks(language: str, text: str) -> None:
    assert chunk("a", text, language) == []


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "(\n" * 50_000,
        "{\n" * 50_000,
        "[" * 50_000 + "]" * 50_000,
        "/*\n" * 300,
        "if x:\n" * 20_000,
        "a." * 50_000,
        "# \n" * 30_000,
        "\n".join(" " * n + "if x:" for n in range(400)),
    ],
    ids=lambda text: repr(text[:6]),
)
def test_nonsense_is_covered_like_anything_else(language: str, text: str) -> None:
    assert_covers(chunk("a", text, language), text)


_SNIPPETS = st.sampled_from(
    [
        "def",
        "f():",
        "class",
        "A:",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "/*",
        "*/",
        "//",
        "#",
        "##",
        "```",
        "---",
        "===",
        "@x",
        "#[a]",
        '"',
        "'",
        "\\",
        "func",
        "impl",
        "fn",
        "pub\n",
        "",
        "",
        "",
        "template<T>",
        "namespace",
        "public:",
        "=>",
        ",",
        ";",
        "<a>",
        "import",
        "if",
        "else",
        "return",
        "日本",
        "é",
        "\x0b",
        "\x0c",
        "\x85",
        "\u2028",
        "\r\n",
        "",
        "",
        "",
        "",
    ]
) | st.sampled_from(["\n", "\n\n", "    ", "\t", " ", "x" * 2000, "word " * 90])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(LANGUAGES),
    st.lists(_SNIPPETS, max_size=80).map("".join) | st.text(max_size=400),
)
def test_every_line_that_is_not_blank_lies_in_exactly_one_chunk(language: str, text: str) -> None:
    assert_covers(chunk("a", text, language), text)


def test_lone_surrogates_do_not_matter() -> None:
    assert_covers(chunk("a.py", "x = '\ud800'\n", "python"), "x = '\ud800'\n")


def test_the_standard_library_is_covered_in_chunks_of_useful_size() -> None:
    root = Path(sysconfig.get_path("stdlib"))
    found = [file for file in walk(root).files if file.path.endswith(".py")]
    sizes: list[int] = []
    for file in random.Random(7).sample(found, 150):
        source = read_text(str(root), file)
        if isinstance(source, SourceFile):
            chunks = chunk(source.path, source.text, language_of(source.path))
            assert_covers(chunks, source.text)
            sizes.extend(len(each.text) for each in chunks)
    assert TARGET_CHARS < sum(sizes) / len(sizes) < MAX_CHARS


def assert_covers(chunks: list[Chunk], text: str) -> None:
    lines = text.split("\n")
    seen: set[int] = set()
    for each in chunks:
        assert 0 < len(each.text) <= MAX_CHARS
        rows = range(each.start_line, each.end_line + 1)
        if len(rows) == 1 and len(lines[rows[0] - 1]) > MAX_CHARS:
            assert each.text in lines[rows[0] - 1]
        else:
            assert seen.isdisjoint(rows)
            assert each.text == "\n".join(lines[rows[0] - 1 : rows[-1]])
        assert not seen or rows[0] >= max(seen)
        seen.update(rows)
    assert seen >= {row for row, line in enumerate(lines, 1) if line.strip()}
