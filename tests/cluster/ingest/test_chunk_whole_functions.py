"""In every language a function that fits stays whole; a larger one is cut between statements."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from cluster.ingest.chunk import chunk
from cluster.ingest.grammars import GRAMMARS
from cluster.ingest.packing import MAX_CHARS


class Language(NamedTuple):
    """How a class with methods is written.

    Attributes:
        opening: What stands before the first method, from the class on.
        method: A method with its comment; NAME is its name, BODY its statements.
        closing: What stands after the last.
        statement: One statement, spread over rows, that begins with `call`.
        trail: The symbol of a method.
        signature: How a method begins.
    """

    opening: str
    method: str
    closing: str
    statement: str
    trail: str
    signature: str


_PLAIN = "call(\n    first_of_all,\n    second_of_all\n);"
_JAVASCRIPT = Language(
    "class Store extends Base {",
    "// About NAME.\nNAME(path, other) {\nBODY\n}\n",
    "}",
    _PLAIN,
    "Store.NAME",
    "NAME(path, other)",
)
_TYPESCRIPT = Language(
    "export class Store<T> extends Base {",
    "// About NAME.\n@cached\nasync NAME(path: string): Promise<T> {\nBODY\n}\n",
    "}",
    _PLAIN,
    "Store.NAME",
    "async NAME(path: string): Promise<T>",
)
LANGUAGES = {
    "python": Language(
        "class Store(Base):",
        "    # About NAME.\n    @cached\n    def NAME(\n        self, path\n    ) -> Item:\nBODY\n",
        "",
        "        call(\n            first_of_all,\n            second_of_all,\n        )",
        "Store.NAME",
        "def NAME( self, path ) -> Item:",
    ),
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
    "go": Language(
        "package store\n\ntype Store struct{}\n",
        "// About NAME.\nfunc (s *Store) NAME(path string) error {\nBODY\n}\n",
        "",
        "call(\n    first_of_all,\n    second_of_all,\n)",
        "Store.NAME",
        "func (s *Store) NAME(path string) error",
    ),
    "rust": Language(
        "impl<T: Clone> Store<T> {",
        "/// About NAME.\n#[inline]\npub fn NAME(&self, path: &str) -> Item {\nBODY\n}\n",
        "}",
        _PLAIN,
        "Store.NAME",
        "pub fn NAME(&self, path: &str) -> Item",
    ),
    "java": Language(
        "public class Store<T> extends Base {",
        "/** About NAME. */\npublic int NAME(String path) {\nBODY\n}\n",
        "}",
        _PLAIN,
        "Store.NAME",
        "public int NAME(String path)",
    ),
    "c": Language(
        "struct store { int size; };",
        "/* About NAME. */\nstatic int NAME(struct store *self, const char *path)\n{\nBODY\n}\n",
        "",
        _PLAIN,
        "NAME",
        "static int NAME(struct store *self, const char *path)",
    ),
    "cpp": Language(
        "class Store : public Base {\npublic:",
        "// About NAME.\nint NAME(const char *path) const {\nBODY\n}\n",
        "};",
        _PLAIN,
        "Store.NAME",
        "int NAME(const char *path) const",
    ),
    "csharp": Language(
        "namespace A.B\n{\npublic class Store<T> : Base\n{",
        "// About NAME.\npublic int NAME(string path)\n{\nBODY\n}\n",
        "}\n}",
        _PLAIN,
        "Store.NAME",
        "public int NAME(string path)",
    ),
    "ruby": Language(
        "module Deep\nclass Store < Base",
        "# About NAME.\ndef NAME(path)\nBODY\nend\n",
        "end\nend",
        _PLAIN.rstrip(";"),
        "Deep.Store.NAME",
        "def NAME(path)",
    ),
    "php": Language(
        "<?php\nnamespace A\\B;\n\nclass Store extends Base\n{",
        "/** About NAME. */\npublic function NAME(string $path): int\n{\nBODY\n}\n",
        "}",
        "call(\n    $first_of_all,\n    $second_of_all\n);",
        "Store.NAME",
        "public function NAME(string $path): int",
    ),
    "kotlin": Language(
        "package a.b\n\nclass Store<T>(val a: Int) : Base() {",
        "// About NAME.\nfun NAME(path: String): Int {\nBODY\n}\n",
        "}",
        _PLAIN.rstrip(";"),
        "Store.NAME",
        "fun NAME(path: String): Int",
    ),
    "swift": Language(
        "import Foundation\n\npublic class Store<T>: Base {",
        "/// About NAME.\nfunc NAME(path: String) -> Int {\nBODY\n}\n",
        "}",
        _PLAIN.rstrip(";"),
        "Store.NAME",
        "func NAME(path: String) -> Int",
    ),
    "shell": Language(
        "#!/bin/sh",
        "# About NAME.\nNAME() {\nBODY\n}\n",
        "",
        "call \\\n    first_of_all \\\n    second_of_all",
        "NAME",
        "NAME()",
    ),
    "lua": Language(
        "local Store = {}\n",
        "-- About NAME.\nfunction Store.NAME(path)\nBODY\nend\n",
        "return Store",
        _PLAIN.rstrip(";"),
        "Store.NAME",
        "function Store.NAME(path)",
    ),
}
SMALL = ("load", "save", "wipe")


def _method(language: Language, name: str, statements: int) -> str:
    body = "\n".join([language.statement] * statements)
    return language.method.replace("NAME", name).replace("BODY", body)


@pytest.fixture(params=LANGUAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_grammar_is_tried_here() -> None:
    assert set(LANGUAGES) == set(GRAMMARS)
    assert len(GRAMMARS) >= 15


def test_a_function_that_fits_is_whole_with_its_comment_under_its_trail(name: str) -> None:
    language = LANGUAGES[name]
    methods = {each: _method(language, each, 12) for each in SMALL}
    text = "\n".join((language.opening, *methods.values(), language.closing))
    assert len(text) > MAX_CHARS
    chunks = chunk("a", text, name)
    for method, source in methods.items():
        [holder] = [each for each in chunks if f"About {method}." in each.text]
        assert source.strip() in holder.text
        assert language.trail.replace("NAME", method) in holder.symbol.split(", ")
        assert holder.signature == ""


def test_a_function_too_large_is_cut_between_statements_and_keeps_its_signature(name: str) -> None:
    language = LANGUAGES[name]
    methods = [_method(language, "load", 12), _method(language, "huge", 150)]
    text = "\n".join((language.opening, *methods, language.closing))
    trail = language.trail.replace("NAME", "huge")
    first, *later = [each for each in chunk("a", text, name) if trail in each.symbol]
    assert "About huge." in first.text
    assert first.signature == ""
    assert len(later) >= 3
    assert {each.signature for each in later} == {language.signature.replace("NAME", "huge")}
    assert all(each.text.lstrip().startswith("call") for each in later)


def test_a_later_part_of_a_class_keeps_how_the_class_begins() -> None:
    fields = "\n".join(f"    field_{n}: int = compute({n})" for n in range(100))
    first, *later = chunk("a.py", f"@final\nclass Store(Base):\n{fields}\n", "python")
    assert first.signature == ""
    assert {each.signature for each in later} == {"class Store(Base):"}


def test_a_signature_too_long_for_a_line_is_its_first_row() -> None:
    parameters = "\n".join(f"    parameter_{n}: int = {n}," for n in range(100))
    _, *later = chunk("a.py", f"def huge(\n{parameters}\n):\n    return 1\n", "python")
    assert {each.signature for each in later} == {"def huge("}
