import pytest

from actors.index.tokens import terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getUserById", ["getuserbyid", "get", "user", "by", "id"]),
        ("snake_case_name", ["snake_case_name", "snake", "case", "name"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("__init__", ["__init__", "init"]),
        ("utf8 sha256", ["utf8", "sha256"]),
        ("while the", ["while", "the"]),
        ("base64Encode", ["base64encode", "base64", "encode"]),
        ("größe Ünïcode", ["größe", "ünïcode"]),
        ("a.b->c(d)", ["a", "b", "c", "d"]),
        ("___", ["___"]),
        ("", []),
    ],
)
def test_a_word_yields_itself_and_its_parts(text, expected):
    assert terms(text) == expected


def test_no_length_is_cut():
    name = "x" * 5000
    assert terms(name) == [name]
