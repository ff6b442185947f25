"""The walk finds what git would list, skips what is not text, and counts what it leaves out."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.errors import InvalidRequest, NotFound
from cluster.ingest.ignore import IgnoreRules
from cluster.ingest.walk import FoundFile, WalkLimits, walk

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def test_paths_are_relative_sorted_and_sized(tmp_path: Path) -> None:
    plant(tmp_path, "b.py", "a/z.py", "a/b/c.py", "a.py")
    (tmp_path / "a.py").write_text("12345")
    assert next(walk(tmp_path).files) == FoundFile("a.py", 5)
    assert found(tmp_path) == ["a.py", "b.py", "a/z.py", "a/b/c.py"]


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        ("*.log", ["a.py", "sub/a.py", "sub/deep/a.py"]),
        ("/a.*", ["sub/a.log", "sub/a.py", "sub/deep/a.log", "sub/deep/a.py"]),
        ("*\n!*.py", ["a.py"]),
        ("*\n!*/\n!*.py", ["a.py", "sub/a.py", "sub/deep/a.py"]),
        ("sub/*\n!sub/a.py", ["a.log", "a.py", "sub/a.py"]),
        ("sub/\n!sub/a.py", ["a.log", "a.py"]),
        ("sub/**/a.log", ["a.log", "a.py", "sub/a.py", "sub/deep/a.py"]),
        ("a.py/", ["a.log", "a.py", "sub/a.log", "sub/a.py", "sub/deep/a.log", "sub/deep/a.py"]),
        ("# comment\n\n\\#x\ndee?\n*.l[!a]g", ["a.py", "sub/a.py"]),
    ],
)
def test_ignore_patterns_mean_what_git_means(tmp_path: Path, rules: str, kept: list[str]) -> None:
    plant(tmp_path, *(f"{folder}a.{end}" for folder in ("", "sub/", "sub/deep/") for end in ENDS))
    (tmp_path / ".gitignore").write_text(rules + "\n.gitignore\n")
    assert found(tmp_path) == kept


ENDS = ("log", "py")


def test_the_deepest_ignore_file_wins(tmp_path: Path) -> None:
    plant(tmp_path, "a.log", "sub/a.log", "sub/deep/a.log")
    plant(tmp_path, ".gitignore", text="*.log\n.*")
    plant(tmp_path, "sub/.gitignore", text="!a.log")
    plant(tmp_path, "sub/deep/.gitignore", text="/a.log")
    assert found(tmp_path) == ["sub/a.log"]


def test_shoalignore_has_the_last_word_in_its_folder(tmp_path: Path) -> None:
    plant(tmp_path, "build/doc.md", "build/out.txt", "node_modules/x.js", "keep.py", "drop.py")
    plant(tmp_path, ".gitignore", text="build/\n.*")
    plant(tmp_path, ".shoalignore", text="!build/\n!node_modules\n/build/out.txt\ndrop.py")
    assert found(tmp_path) == ["keep.py", "build/doc.md", "node_modules/x.js"]


def test_rules_of_the_repository_above_the_root_apply(tmp_path: Path) -> None:
    plant(tmp_path, ".gitignore", text="*.log\n/app/src/made.py\n")
    plant(tmp_path, "app/.gitignore", text="src/*.tmp\n")
    plant(tmp_path, ".git/info/exclude", text="secret.*\n")
    plant(
        tmp_path,
        *(f"app/src/{name}" for name in ("a.py", "a.log", "made.py", "b.tmp", "secret.md")),
    )
    assert found(tmp_path / "app" / "src") == ["a.py"]


def test_rules_above_the_root_are_nothing_without_a_repository(tmp_path: Path) -> None:
    plant(tmp_path, ".gitignore", text="*.py\n")
    plant(tmp_path, "app/a.py")
    assert found(tmp_path / "app") == ["a.py"]


def test_folders_made_by_tools_are_left_out(tmp_path: Path) -> None:
    plant(tmp_path, ".git/config", ".hg/x", "node_modules/x.js", "a/__pycache__/x.py", "a/x.py")
    report = walk(tmp_path)
    assert [file.path for file in report.files] == ["a/x.py"]
    assert report.skipped == {"ignored": 2}


def test_every_file_left_out_is_counted_under_its_reason(tmp_path: Path) -> None:
    plant(tmp_path, "a.py", "logo.PNG", "ignored/1.py", "ignored/2.py")
    plant(tmp_path, ".gitignore", text="ignored/\n.gitignore")
    plant(tmp_path, "big.txt", text="x" * 11)
    (tmp_path / os.fsdecode(b"\xff.py")).touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "out").symlink_to(tmp_path.parent)
    (tmp_path / "twin.py").symlink_to("a.py")
    report = walk(tmp_path, limits=WalkLimits(max_file_bytes=10))
    assert [file.path for file in report.files] == ["a.py"]
    assert report.skipped == {
        "ignored": 2,
        "binary": 1,
        "too large": 1,
        "name is not text": 1,
        "not a regular file": 1,
        "broken symlink": 1,
        "symlink loop": 1,
        "symlink out of the root": 1,
        "already visited": 1,
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
def test_an_unreadable_folder_is_counted_and_the_walk_goes_on(tmp_path: Path) -> None:
    plant(tmp_path, "a/x.py", "b/y.py")
    (tmp_path / "a").chmod(0)
    report = walk(tmp_path)
    assert [file.path for file in report.files] == ["b/y.py"]
    assert report.skipped == {"unreadable": 1}
    assert report.unreadable == ["a"]
    (tmp_path / "a").chmod(0o700)


def test_a_folder_that_vanishes_during_the_walk_is_counted(tmp_path: Path) -> None:
    plant(tmp_path, "a.py", "sub/b.py")
    report = walk(tmp_path)
    first = next(report.files)
    shutil.rmtree(tmp_path / "sub")
    assert (first.path, list(report.files), report.skipped) == ("a.py", [], {"unreadable": 1})
    assert report.unreadable == ["sub"]


def test_a_link_is_followed_only_to_what_is_not_reached_otherwise(tmp_path: Path) -> None:
    plant(tmp_path, "a/x.py", "build/docs/guide.md", "build/docs/deep/more.md")
    plant(tmp_path, ".gitignore", text="/build\n.*")
    (tmp_path / "docs").symlink_to("build/docs")
    (tmp_path / "docs2").symlink_to("build/docs")
    (tmp_path / "twin").symlink_to("a")
    (tmp_path / "build/docs/deep/up").symlink_to("../..")
    (tmp_path / "build/docs/deep/top").symlink_to(tmp_path)
    assert found(tmp_path) == ["a/x.py", "docs/guide.md", "docs/deep/more.md"]


def test_a_scope_restricts_the_walk_and_keeps_the_rules_above_it(tmp_path: Path) -> None:
    plant(tmp_path, "a/b/x.py", "a/b/x.log", "a/b/c.tmp", "a/y.py")
    plant(tmp_path, ".gitignore", text="*.log")
    plant(tmp_path, "a/.gitignore", text="b/*.tmp")
    assert found(tmp_path, Path("a/b")) == ["a/b/x.py"]
    assert found(tmp_path, tmp_path / "a" / "b") == ["a/b/x.py"]


def test_a_scope_is_taken_though_ignored(tmp_path: Path) -> None:
    plant(tmp_path, "build/x.py", "build/x.log")
    plant(tmp_path, ".gitignore", text="/build\n*.log")
    assert found(tmp_path, Path("build/x.log")) == ["build/x.log"]
    assert found(tmp_path, Path("build")) == ["build/x.py"]


@pytest.mark.parametrize(
    ("scope", "error"),
    [
        ("..", InvalidRequest),
        ("a/../../other", InvalidRequest),
        ("/etc", InvalidRequest),
        ("missing", NotFound),
    ],
)
def test_a_scope_outside_or_missing_is_refused(
    tmp_path: Path, scope: str, error: type[Exception]
) -> None:
    plant(tmp_path, "a/x.py")
    with pytest.raises(error):
        walk(tmp_path, Path(scope))


def test_a_scope_that_links_out_of_the_root_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, "root/x.py", "secret/y.py")
    (tmp_path / "root" / "link").symlink_to("../secret")
    with pytest.raises(InvalidRequest):
        walk(tmp_path / "root", Path("link"))
    with pytest.raises(InvalidRequest):
        walk(tmp_path / "root", Path("link/y.py"))


def test_a_scope_may_lead_through_a_link_of_the_root(tmp_path: Path) -> None:
    plant(tmp_path, "real/build/docs/x.md")
    plant(tmp_path, "real/.gitignore", text="build")
    (tmp_path / "real/docs").symlink_to("build/docs")
    (tmp_path / "alias").symlink_to("real")
    for root in ("real", "alias"):
        assert found(tmp_path / root, tmp_path / root / "docs") == ["docs/x.md"]
        assert found(tmp_path / root, tmp_path / "alias" / "docs" / "x.md")
        assert found(tmp_path / root, tmp_path / root) == [".gitignore", "docs/x.md"]


def test_version_control_is_never_a_scope(tmp_path: Path) -> None:
    plant(tmp_path, ".git/config")
    with pytest.raises(InvalidRequest):
        walk(tmp_path, Path(".git/config"))


def test_a_root_that_is_missing_or_a_file_is_refused(tmp_path: Path) -> None:
    plant(tmp_path, "a.py")
    with pytest.raises(NotFound):
        walk(tmp_path / "missing")
    with pytest.raises(InvalidRequest):
        walk(tmp_path / "a.py")


@pytest.mark.parametrize("pattern", ["*a" * 30 + "b", "**/a/" * 20 + "b", "/**/a*a*a*" * 10])
def test_a_pattern_full_of_stars_is_answered_at_once(pattern: str) -> None:
    assert IgnoreRules.parse(pattern).verdict("a" * 250 + "/a" * 900, is_folder=False) is None


NAMES = ("a", "b", "lib", "a.c", "!a", "#b", "a b", "[x]", "*")
PATTERNS = st.lists(
    st.sampled_from(
        [
            "a",
            "b",
            "lib",
            ".c",
            "*",
            "**",
            "/",
            "/**/",
            "**/",
            "?",
            "[ab]",
            "[!a]",
            "[^b]",
            "[a-c]",
            "[b-a]",
            "[[:alpha:]]",
            "[a-]",
            "[]a]",
            "!",
            "\\",
            "#",
            "x",
            "\\*",
            "\\!",
            "[",
            "]",
            "***",
            "foo",
        ]
    )
    | st.just(" "),
    min_size=1,
    max_size=5,
).map("".join)
RULES = st.lists(PATTERNS | PATTERNS.map("!{}".format), max_size=5).map("\n".join)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three levels of folders, each with files and folders of the same awkward names."""
    root = tmp_path_factory.mktemp("nasty")
    for first in NAMES[:5]:
        for second in NAMES:
            plant(root, f"{first}/{second}.d/{first}", f"{first}/{second}", *NAMES[5:])
    git(root, "init", "--quiet")
    return root


@needs_git
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(top=RULES, middle=RULES, excluded=RULES)
def test_the_walk_lists_what_git_lists(
    repository: Path, top: str, middle: str, excluded: str
) -> None:
    plant(repository, ".gitignore", text=top)
    plant(repository, "lib/.gitignore", text=middle)
    plant(repository, ".git/info/exclude", text=excluded)
    listed = git(repository, "ls-files", "-z", "-co", "--exclude-standard").split("\0")[:-1]
    assert sorted(found(repository)) == sorted(listed)


def plant(root: Path, *paths: str, text: str = "x\n") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def found(root: Path, scope: Path | None = None) -> list[str]:
    return [file.path for file in walk(root, scope).files]


def git(root: Path, *arguments: str) -> str:
    """Run git without the settings of whoever runs the tests."""
    settings_of_nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return subprocess.run(
        ["git", *arguments],
        cwd=root,
        env={**os.environ, **settings_of_nobody, "HOME": str(root), "XDG_CONFIG_HOME": str(root)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
