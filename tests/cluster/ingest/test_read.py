"""Any file is read as text or skipped for a reason; nothing raises."""

from __future__ import annotations

import codecs
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.ingest.languages import PLAIN_TEXT, language_of
from cluster.ingest.read import Skip, SourceFile, read_text
from cluster.ingest.walk import FoundFile

RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю.\n" * 20


def test_a_file_comes_with_its_language_size_and_hash(tmp_path: Path) -> None:
    data = "naïve = 'café'\n".encode()
    source = text_of(tmp_path, data, "src/a.py")
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    assert source == SourceFile("src/a.py", "python", "naïve = 'café'\n", digest, len(data))


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("a.txt", codecs.BOM_UTF8 + "é\n".encode(), "é\n"),
        ("a.txt", "é\n".encode("utf-16"), "é\n"),
        ("a.txt", codecs.BOM_UTF16_BE + "é\n".encode("utf-16-be"), "é\n"),
        ("a.txt", "é\n".encode("utf-32"), "é\n"),
        (
            "a.py",
            "# -*- coding: koi8-r -*-\nx = 'я'\n".encode("koi8-r"),
            "# -*- coding: koi8-r -*-\nx = 'я'\n",
        ),
        ("a.py", b"#!/bin/python\n# vim: set fileencoding=latin-1 :\n\xe9\n", None),
        ("a.txt", RUSSIAN.encode("cp1251"), RUSSIAN),
    ],
)
def test_encodings_are_recognised(tmp_path: Path, name: str, data: bytes, text: str | None) -> None:
    source = text_of(tmp_path, data, name)
    assert source.text == (text if text is not None else data.decode("latin-1"))


@pytest.mark.parametrize(
    "data",
    [
        b"# coding: no-such-codec\n\xe9\n",
        b"# coding: rot13\n\xe9\n",
        b"# coding: undefined\n\xe9\n",
        b"# coding: ascii\n\xe9\n",
        b"# coding: unicode_escape\n\xe9 = '\\ud800'\n",
        b"# coding: raw_unicode_escape\n\xe9 = '\\ud800'\n",
        codecs.BOM_UTF8 + b"\xff\xfe\xfd\n",
        codecs.BOM_UTF16_LE + b"odd",
        codecs.BOM_UTF32_LE + b"odd",
        b"\x81\x8d\x8f\x90\x9d\xff" * 9,
    ],
)
def test_a_broken_encoding_does_not_lose_the_file(tmp_path: Path, data: bytes) -> None:
    assert text_of(tmp_path, data, "a.py").text.encode()


def test_lines_end_where_an_editor_ends_them(tmp_path: Path) -> None:
    source = text_of(tmp_path, "a\r\nb\rc\nd\x0ce\u2028f\x85g\r\r\n".encode(), "a.txt")
    assert source.text == "a\nb\nc\nd\x0ce\u2028f\x85g\n\n"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "empty"),
        (codecs.BOM_UTF8, "empty"),
        (b"text\0more", "binary"),
        (b"x" * 101, "too large"),
    ],
)
def test_what_is_no_text_is_skipped_with_a_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    assert read(tmp_path, data, "a.txt", max_bytes=100) == Skip("a.txt", reason)


def test_a_nul_byte_far_from_the_start_is_text(tmp_path: Path) -> None:
    assert text_of(tmp_path, b"x" * 9000 + b"\0", "a.txt").text.endswith("\0")


def test_a_file_that_grew_since_the_walk_is_still_bounded(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 200)
    assert read_text(str(tmp_path), FoundFile("a.txt", 5), 100) == Skip("a.txt", "too large")


def test_what_cannot_be_opened_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    reasons = {
        name: read_text(str(tmp_path), FoundFile(name, 1))
        for name in ("missing", "pipe", "folder", "nul\0byte")
    }
    assert reasons == {
        "missing": Skip("missing", "unreadable"),
        "pipe": Skip("pipe", "not a regular file"),
        "folder": Skip("folder", "unreadable"),
        "nul\0byte": Skip("nul\0byte", "unreadable"),
    }


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300), st.sampled_from(["a.py", "a.txt"]))
def test_any_bytes_are_read_or_skipped(tmp_path: Path, data: bytes, name: str) -> None:
    result = read(tmp_path, data, name)
    assert isinstance(result, Skip) or "\r" not in result.text


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"]), min_size=1))
def test_utf8_text_comes_back_unchanged(tmp_path: Path, text: str) -> None:
    result = read(tmp_path, text.encode(), "a.txt")
    assert result == Skip("a.txt", "empty") or getattr(result, "text", "") == text.removeprefix(
        "\ufeff"
    )


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("a/b.py", "python"),
        ("B.PY", "python"),
        ("x.d/Makefile", "make"),
        ("Dockerfile.dev", "dockerfile"),
        ("a.tar.tsx", "tsx"),
        (".gitignore", PLAIN_TEXT),
        ("LICENSE", PLAIN_TEXT),
        ("a.unheard-of", PLAIN_TEXT),
    ],
)
def test_the_name_tells_the_language(path: str, language: str) -> None:
    assert language_of(path) == language


def read(root: Path, data: bytes, name: str, max_bytes: int = 1 << 20) -> SourceFile | Skip:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(data)
    return read_text(str(root), FoundFile(name, len(data)), max_bytes)


def text_of(root: Path, data: bytes, name: str) -> SourceFile:
    result = read(root, data, name)
    assert isinstance(result, SourceFile)
    return result
