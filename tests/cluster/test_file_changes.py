"""From changes to scopes and batches: no Ray, and no time but the test's own."""

import pytest
from watchfiles import Change

from actors.choice import Choice
from cluster.file_changes import (
    LONGEST_S,
    LOSS_CHANGES,
    QUIET_S,
    Pending,
    Reader,
    Seen,
    backoff_s,
    clipped,
    collapsed,
)
from cluster.ingest.walk import walk


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def top(tmp_path):
    folder = tmp_path.resolve() / "top"
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "src" / "a.py").write_text("a\n")
    (folder / ".gitignore").write_text("build/\n*.log\n")
    (folder / "build").mkdir()
    (folder / "build" / "gen.py").write_text("gen\n")
    (folder / ".git" / "info").mkdir(parents=True)
    return folder


def read(top, *paths, change=Change.modified, tops=("",), links=()):
    reader = Reader(str(top), tops)
    reader.links = dict(links)
    return reader.read([(change, f"{top}/{path}") for path in paths])


def scopes(*args, **options):
    return set(read(*args, **options).scopes)


class TestReading:
    def test_files_and_folders_are_scopes_of_their_own(self, top):
        assert scopes(top, "src/a.py", "src/deep") == {"src/a.py", "src/deep"}

    def test_what_is_gone_is_a_scope(self, top):
        gone = ("src/gone.py", "src/gone_folder")
        assert scopes(top, *gone, change=Change.deleted) == set(gone)

    @pytest.mark.parametrize(
        "path",
        [
            "build",
            "build/gen.py",
            "build/gone/away.o",
            "src/x.log",
            ".git/index.lock",
            ".git/refs/heads/main",
            "node_modules/x/y.js",
            "src/__pycache__/a.pyc",
            "../elsewhere.py",
        ],
    )
    def test_what_a_walk_does_not_come_to_is_none(self, top, path):
        assert scopes(top, path) == set()

    def test_what_a_collection_does_not_take_is_none(self, top):
        (top / "src" / "b.md").write_text("b\n")
        (top / "docs").mkdir()
        reader = Reader(str(top), [""])
        reader.choice = Choice(include=("*.md",), exclude=("docs/",))
        paths = ("src/a.py", "src/b.md", "docs", "docs/new.md", "src/gone.md")
        changed = [(Change.modified, f"{top}/{path}") for path in paths]
        assert reader.read(changed).scopes == {"src/b.md", "src/gone.md"}

    def test_a_file_of_a_binary_kind_is_none_while_it_is_there(self, top):
        (top / "logo.png").write_bytes(b"\x89PNG")
        assert scopes(top, "logo.png") == set()

    @pytest.mark.parametrize(
        ("path", "governed"),
        [
            (".gitignore", ""),
            ("src/.gitignore", "src"),
            ("src/deep/.shoalignore", "src/deep"),
            (".git/info/exclude", ""),
            ("src/.git", "src"),
        ],
    )
    def test_rules_stand_for_the_folder_that_they_govern(self, top, path, governed):
        assert scopes(top, path) == {governed}

    def test_rules_of_an_ignored_folder_govern_nothing(self, top):
        assert scopes(top, "build/.gitignore") == set()

    def test_a_change_of_rules_holds_for_what_comes_next(self, top):
        (top / ".gitignore").write_text("")
        assert scopes(top, "build/gen.py") == {"build/gen.py"}

    def test_a_folder_that_was_named_is_watched_though_it_is_ignored(self, top):
        assert scopes(top, "build/gen.py", "src/a.py", tops=["build"]) == {"build/gen.py"}

    def test_only_a_folder_that_appeared_is_new(self, top):
        appeared = read(top, "src/deep", "src/a.py", change=Change.added)
        assert appeared.new_folders == {"src/deep"}
        assert read(top, "src/deep").new_folders == set()

    def test_either_end_of_a_followed_link_stands_for_everything(self, top):
        (top / "made").symlink_to("build")
        walked = walk(top)
        assert "made/gen.py" in {file.path for file in walked.files}
        assert walked.links == {"made": "build"}
        for path in ("made", "build/gen.py", "made/gen.py", "build"):
            assert scopes(top, path, links=walked.links) == {""}
        assert scopes(top, "src/a.py", links=walked.links) == {"src/a.py"}

    def test_a_new_link_stands_for_everything(self, top):
        (top / "made").symlink_to("build")
        assert scopes(top, "made", change=Change.added) == {""}

    def test_a_link_that_leads_to_nothing_yet_is_known(self, top):
        (top / "later").symlink_to("build/later")
        walked = walk(top)
        assert list(walked.files)
        assert walked.links == {"later": "build/later"}

    def test_a_change_told_by_a_link_is_one_of_the_folder_itself(self, top):
        (top / "alias").symlink_to("src")
        assert scopes(top, "alias/a.py") == {"src/a.py"}

    def test_so_many_changes_that_some_may_be_lost_stand_for_everything(self, top):
        paths = [f"build/{number}.o" for number in range(LOSS_CHANGES)]
        assert scopes(top, *paths[1:]) == set()
        assert scopes(top, *paths) == {""}


class TestCollapsing:
    def test_what_lies_in_another_is_left_out(self):
        assert collapsed({"a", "a/b", "a/b/c", "ab"}) == {"a", "ab"}
        assert collapsed({"", "a"}) == {""}

    def test_many_become_their_folders_and_the_deepest_first(self):
        many = {f"src/deep/{n}.py" for n in range(300)} | {"docs/a.md"}
        assert collapsed(many) == {"src/deep", "docs/a.md"}
        assert collapsed({f"{n}.py" for n in range(300)}) == {""}
        assert collapsed({f"d{n}/x.py" for n in range(300)}) == {""}

    def test_names_that_differ_in_case_alone_become_their_folder(self):
        assert collapsed({"src/Readme.md", "src/README.md", "a.py"}) == {"src", "a.py"}
        assert collapsed({"A", "a"}) == {""}

    def test_only_what_is_watched_is_asked_for(self):
        assert clipped({""}, ["a", "b/c"]) == {"a", "b/c"}
        assert clipped({"b", "a/x"}, ["a", "b/c"]) == {"b/c", "a/x"}
        assert clipped({"src"}, [""]) == {"src"}


def seen(*paths, new=()):
    return Seen(frozenset(paths), frozenset(new))


class TestPending:
    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def pending(self, clock):
        return Pending(clock)

    def test_changes_wait_until_it_is_quiet(self, pending, clock):
        assert pending.due_in() is None
        pending.add(seen("a"))
        clock.now += QUIET_S / 2
        pending.add(seen("b"))
        assert pending.due_in() == pytest.approx(QUIET_S)
        clock.now += QUIET_S
        assert pending.due_in() == 0
        assert pending.take().scopes == {"a", "b"}
        assert pending.due_in() is None

    def test_what_never_ends_is_published_now_and_then(self, pending, clock):
        began = clock.now
        while pending.due_in() != 0:
            pending.add(seen("a"))
            clock.now += QUIET_S / 2
        assert clock.now - began == pytest.approx(LONGEST_S, abs=QUIET_S)

    def test_changes_to_nothing_put_nothing_off(self, pending, clock):
        pending.add(seen("a"))
        clock.now += QUIET_S
        pending.add(seen())
        assert pending.due_in() == 0

    def test_the_oldest_change_ages_until_it_is_published(self, pending, clock):
        assert pending.behind_s() == 0
        pending.add(seen("a"))
        assert pending.behind_s() > 0
        clock.now += 3
        pending.take()
        pending.add(seen("b"))
        clock.now += 2
        assert pending.behind_s() == pytest.approx(5)
        pending.done()
        assert pending.behind_s() == pytest.approx(2)
        pending.take()
        pending.done()
        assert pending.behind_s() == 0

    def test_a_look_to_make_sure_is_no_change(self, pending):
        pending.add(seen(""), is_change=False)
        assert pending.behind_s() == 0
        assert pending.due_in() is not None

    def test_folders_that_appeared_are_told_of_once_they_are_published(self, pending):
        pending.add(seen("d", "f", new=["d"]))
        pending.put_back(pending.take().scopes, 1.0)
        pending.take()
        assert pending.done()
        pending.add(seen("f"))
        pending.take()
        assert not pending.done()

    def test_what_failed_is_due_after_a_delay_that_changes_do_not_shorten(self, pending, clock):
        pending.add(seen("a"))
        taken = pending.take()
        pending.put_back(taken.scopes, 8.0)
        pending.add(seen("b"))
        assert pending.due_in() == pytest.approx(8)
        clock.now += 8
        assert pending.due_in() == 0
        assert pending.behind_s() == pytest.approx(8)
        assert pending.take().scopes == {"a", "b"}

    def test_unless_something_that_was_in_the_way_has_changed(self, pending, clock):
        pending.add(seen("a"))
        pending.put_back(pending.take().scopes, 8.0)
        clock.now += QUIET_S
        pending.hasten()
        assert pending.due_in() == 0

    def test_what_cannot_succeed_waits_for_the_next_change(self, pending, clock):
        pending.add(seen("a"))
        pending.take()
        pending.put_back(frozenset({""}), None)
        clock.now += 100
        assert pending.due_in() is None
        assert pending.behind_s() == pytest.approx(100)
        pending.add(seen("b"))
        assert pending.due_in() == pytest.approx(QUIET_S)
        assert "" in pending.take().scopes

    def test_it_does_not_wait_where_changes_came_meanwhile(self, pending, clock):
        pending.add(seen("a"))
        pending.take()
        pending.add(seen("b"))
        pending.put_back(frozenset({""}), None)
        clock.now += QUIET_S
        assert pending.due_in() == 0


def test_delays_grow_to_a_bound():
    assert [backoff_s(tries, 5.0) for tries in range(1, 6)] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert backoff_s(5000, 60.0) == 60.0
