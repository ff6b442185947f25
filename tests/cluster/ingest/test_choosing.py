"""What a collection takes of its source: globs that narrow what ignore files leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from actors.choice import Choice
from cluster.ingest.walk import walk
from cluster.protocol import IndexBody

FILES = ("a.py", "b.md", "docs/c.md", "docs/api/d.md", "docs/api/e.py", "lib/f.py", "lib/g.log")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path in FILES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x\n")
    (tmp_path / ".gitignore").write_text("*.log\n.gitignore\n")
    return tmp_path


@pytest.mark.parametrize(
    ("include", "exclude", "kept", "left_out"),
    [
        (["*.md"], [], ["b.md", "docs/c.md", "docs/api/d.md"], {"not included": 3}),
        (["docs/"], [], ["docs/c.md", "docs/api/d.md", "docs/api/e.py"], {"not included": 3}),
        (["/*.py", "lib"], [], ["a.py", "lib/f.py"], {"not included": 4}),
        (["docs/**/*.md"], ["api/"], ["docs/c.md"], {"not included": 3, "excluded": 1}),
        ([], ["docs/", "/b.*"], ["a.py", "lib/f.py"], {"excluded": 2}),
        ([], ["lib/f.*", "*.md"], ["a.py", "docs/api/e.py"], {"excluded": 4}),
        (["*"], ["*.md"], ["a.py", "docs/api/e.py", "lib/f.py"], {"excluded": 3}),
        (["*.log"], [], [], {"not included": 6}),
    ],
)
def test_a_choice_narrows_what_ignore_files_leave(
    tree: Path, include: list[str], exclude: list[str], kept: list[str], left_out: dict[str, int]
) -> None:
    walked = walk(tree, choice=Choice(tuple(include), tuple(exclude)))
    assert [file.path for file in walked.files] == kept
    assert walked.skipped == {"ignored": 2, **left_out}


@pytest.mark.parametrize(
    ("scope", "kept"), [("docs/api", ["docs/api/d.md"]), ("lib/f.py", []), ("docs/c.md", [])]
)
def test_a_choice_holds_for_what_is_named_too(tree: Path, scope: str, kept: list[str]) -> None:
    choice = Choice(include=("**/api/*.md", "lib/"), exclude=("*.py",))
    assert [file.path for file in walk(tree, Path(scope), choice=choice).files] == kept


def test_a_link_into_what_is_excluded_is_followed_as_one_into_what_is_ignored(tree: Path) -> None:
    (tree / "guide").symlink_to("docs/api")
    walked = walk(tree, choice=Choice(exclude=("docs/", "*.py")))
    assert [file.path for file in walked.files] == ["b.md", "guide/d.md"]


@pytest.mark.parametrize("glob", ["", " ", "!*.md", "# x", "*.md\n*.py", "/"])
def test_what_is_no_glob_is_refused_by_name(glob: str) -> None:
    with pytest.raises(ValidationError, match=r"exclude\.1"):
        IndexBody(paths=("/src",), exclude=("*.py", glob))


def test_a_choice_says_what_it_takes() -> None:
    assert str(Choice(("*.py", "*.md"), ("tests/",))) == "only *.py, *.md, without tests/"
    assert str(Choice()) == ""
    assert Choice(exclude=("x",))
    assert not Choice()
