"""What becomes a pair, from each kind of file."""

import gzip

from training import gather
from training.pairs.prose import sections
from training.pairs.reference import pairs_of_dictionary, pairs_of_wordnet

PYTHON = '''
def parse_content_range(value):
    """Parse the value of a Content-Range header.

    The unit is checked, and the sizes must be numbers in rising order of the bytes they name.
    """
    # split the unit from the range of bytes
    unit, _, span = value.partition(" ")
    first, last = span.split("-")

    return unit, int(first), int(last)


def test_a_range_without_end_is_refused():
    with raises(ValueError):
        parse_content_range("bytes 5-")
'''


def pairs(path, text):
    return [(p.kind, p.query, p.passage) for p in gather.pairs_of_file(path, text, "package")]


def passage(path, text, kind):
    found = [(query, passage) for k, query, passage in pairs(path, text) if k == kind]
    assert len(found) == 1
    return found[0]


def test_a_docstring_asks_for_its_code_without_the_docstring():
    query, code = passage("a.py", PYTHON, "python")
    assert query == "Parse the value of a Content-Range header."
    assert code.startswith("def parse_content_range(value):")
    assert "unit, int(first), int(last)" in code
    assert "Parse the value" not in code


def test_a_name_asks_for_what_is_below_it():
    query, body = passage("a.py", PYTHON, "name")
    assert query == "parse content range"
    assert "parse_content_range" not in body


def test_a_comment_asks_for_the_lines_that_follow():
    query, code = passage("a.py", PYTHON, "comment")
    assert query == "split the unit from the range of bytes"
    assert code.split("\n")[-1] == 'first, last = span.split("-")'


def test_a_tests_name_asks_for_its_body():
    query, body = passage("a.py", PYTHON, "test")
    assert query == "a range without end is refused"
    assert 'parse_content_range("bytes 5-")' in body


def test_what_is_no_python_has_no_pairs():
    assert pairs("a.py", "def (:") == []


def test_a_doc_comment_asks_for_its_function_to_the_closing_brace():
    text = """impl Cache {
    /// Drops every entry that is <b>older</b> than the limit.
    ///
    /// # Panics
    pub fn evict(&mut self, limit: Duration) {
        self.entries.retain(|entry| entry.age() < limit);
    }

    pub fn other(&self) {}
}
"""
    query, code = passage("src/cache.rs", text, "rust")
    assert query == "Drops every entry that is older than the limit."
    assert code.startswith("pub fn evict")
    assert code.endswith("}")
    assert "other" not in code


def test_javadoc_ends_at_its_fields():
    text = """/**
 * Reads the {@code next} line of a stream.
 * @param stream what is read
 */
public String readLine(InputStream stream) {
    return reader(stream).readLine();
}
"""
    query, code = passage("A.java", text, "java")
    assert query == "Reads the next line of a stream."
    assert "return reader(stream)" in code


def test_a_legal_notice_asks_for_nothing():
    assert pairs("a.go", "// Copyright 2020 The Authors. All rights reserved.\nfunc F() {}\n") == []


BODY = "The pool keeps its sockets open. Each of them is closed after a minute without use. " * 2


def test_headings_ask_for_their_sections_in_every_format():
    for path, text in {
        "a.md": f"# Pools\n\n## How sockets are kept\n\n{BODY}\n",
        "a.rst": f"Pools\n=====\n\nHow sockets are kept\n--------------------\n\n{BODY}\n",
        "a.html": f"<h1>Pools</h1><h2>1.2. How sockets are kept</h2><p>{BODY}</p>",
        "a.pod": f"=head1 Pools\n\n=head2 How sockets are kept\n\n{BODY}\n\n=cut\n",
    }.items():
        query, section = passage(path, text, "heading")
        assert query.endswith("How sockets are kept"), path
        assert section.startswith("The pool keeps its sockets open."), path


def test_a_heading_knows_the_one_above_it():
    text = "# Pools\n\n## Sockets\n\ntext\n\n## Threads\n\ntext\n\n# Files\n\ntext"
    above = [(upper, heading) for upper, heading, _ in sections(text, ".md")]
    assert above == [("", "Pools"), ("Pools", "Sockets"), ("Pools", "Threads"), ("", "Files")]


def test_a_manual_pages_purpose_asks_for_its_description():
    text = """.TH SEA 1
.SH NAME
sea \\- measure the height of waves
.SH DESCRIPTION
.B sea
reads the height of each wave from a buoy, and prints it.
"""
    assert ("manual", "measure the height of waves") in {
        (kind, query) for kind, query, _ in pairs("usr/share/man/man1/sea.1", text)
    }


def test_a_synonym_set_asks_for_its_gloss(tmp_path):
    line = "00001740 03 n 02 sea_wave 0 breaker 0 000 | a wave that breaks on the shore of a sea\n"
    (tmp_path / "data.noun").write_text("  1 a licence\n" + line)
    (pair,) = pairs_of_wordnet(tmp_path, "wordnet")
    assert (pair.query, pair.passage) == (
        "sea wave, breaker",
        "a wave that breaks on the shore of a sea",
    )


def test_a_dictionarys_entries_are_found_by_its_index(tmp_path):
    entry = "breaker\n   A wave that breaks into foam against the shore, or against a reef {n}.\n"
    (tmp_path / "sea.dict.dz").write_bytes(gzip.compress(b"." * 70 + entry.encode()))
    (tmp_path / "sea.index").write_text(f"breaker\tBG\tB{chr(ord('A') + len(entry) - 64)}\n")
    (pair,) = pairs_of_dictionary(tmp_path / "sea.index", "sea")
    assert pair.query == "breaker"
    assert pair.passage.startswith("A wave that breaks into foam")
