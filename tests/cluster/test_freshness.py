"""How far a collection is behind: what watchers say, while they say it."""

from actors.freshness import SILENT_S, Freshness
from cluster.freshness import Behind, in_words


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_nobody_knows_where_nobody_watches():
    assert Freshness().behind_s("docs") is None
    assert in_words(None) == ""


def test_what_is_unpublished_grows_older_until_it_is_published():
    clock = Clock()
    freshness = Freshness(clock)
    freshness.note("docs", "one", 0.0)
    clock.now += 4
    assert freshness.behind_s("docs") == 0.0
    freshness.note("docs", "one", 1.5)
    clock.now += 4
    assert freshness.behind_s("docs") == 5.5
    freshness.note("docs", "one", 0.0)
    assert freshness.behind_s("docs") == 0.0
    assert freshness.behind_s("other") is None


def test_the_one_that_is_behind_most_counts():
    freshness = Freshness(Clock())
    freshness.note("docs", "one", 3.0)
    freshness.note("docs", "two", 0.0)
    assert freshness.behind_s("docs") == 3.0
    freshness.forget("docs", "one")
    assert freshness.behind_s("docs") == 0.0
    freshness.forget("docs", "two")
    freshness.forget("docs", "two")
    assert freshness.behind_s("docs") is None


def test_a_watcher_that_falls_silent_does_not_watch_any_more():
    clock = Clock()
    freshness = Freshness(clock)
    freshness.note("docs", "one", 0.0)
    clock.now += SILENT_S - 1
    freshness.note("docs", "two", 2.0)
    clock.now += 2
    assert freshness.behind_s("docs") == 4.0
    clock.now += SILENT_S
    assert freshness.behind_s("docs") is None


def test_all_that_are_watched_are_told():
    clock = Clock()
    freshness = Freshness(clock)
    freshness.note("silent", "one", 0.0)
    clock.now += SILENT_S
    freshness.note("docs", "one", 0.0)
    freshness.note("src", "one", 2.0)
    assert freshness.all() == {"docs": 0.0, "src": 2.0}


def test_a_gateway_knows_what_the_steward_said_for_as_long_as_a_watcher_may_be_silent():
    clock = Clock()
    behind = Behind(clock)
    assert behind.behind_s("docs") is None
    behind.take({"docs": 0.0, "src": 2.0})
    clock.now += 3
    found = [behind.behind_s(name) for name in ("docs", "src", "other")]
    assert found == [0.0, 5.0, None]
    behind.take({"docs": 0.0})
    assert behind.behind_s("src") is None
    clock.now += SILENT_S
    assert behind.behind_s("docs") is None


def test_it_is_said_in_words():
    words = [in_words(behind_s) for behind_s in (0.0, 0.02, 3.4)]
    assert words == ["up to date", "behind by 1 s", "behind by 3 s"]
