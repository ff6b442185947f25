"""Of the clusters of a root one looks after it, whoever starts, ends, sleeps or fails meanwhile."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.catalog import Catalog
from actors.errors import StorageError
from actors.leadership import LEADERS, LIFETIME, RENEW_EVERY, Leadership
from actors.storage import AlreadyThere, Storage


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


@pytest.fixture
def of(storage, clock):
    """Return a function that makes a cluster's claim."""
    return lambda cluster, root=storage: Leadership(root, cluster, clock)


def test_of_two_clusters_the_first_leads_for_as_long_as_it_lives(of, clock):
    blue, green = of("blue"), of("green")
    for _ in range(30):
        assert blue.hold()
        assert not green.hold()
        clock.now += timedelta(seconds=10)


def test_another_takes_over_once_the_lease_has_ended(of, clock):
    blue, green = of("blue"), of("green")
    assert blue.hold()
    clock.now += LIFETIME - timedelta(seconds=1)
    assert not green.hold()
    clock.now += timedelta(seconds=1)
    assert green.hold()
    assert not blue.hold()
    assert not blue.is_held


def test_a_steward_that_starts_again_goes_on_at_once(of):
    assert of("blue").hold()
    assert of("blue").hold()


def test_of_two_that_take_over_at_once_one_does(of, storage, clock):
    class Beaten(Storage):
        def put_new(self, name, data):
            assert of("green").hold()
            super().put_new(name, data)

    assert of("red").hold()
    clock.now += LIFETIME
    assert not of("blue", Beaten(storage.root)).hold()
    with pytest.raises(AlreadyThere):
        storage.put_new(f"{LEADERS}/00000002.json", b"")


def test_who_was_asleep_when_another_took_over_does_not_lead(of, storage, clock):
    class Slow(Storage):
        """Writes its renewal when another has taken over since it looked."""

        def put(self, name, data):
            clock.now += LIFETIME
            assert of("green").hold()
            super().put(name, data)

    blue = of("blue", Slow(storage.root))
    assert blue.hold()
    clock.now += RENEW_EVERY
    assert not blue.hold()
    assert of("green").hold()


def test_who_takes_a_number_that_was_given_and_removed_does_not_lead(of, storage, clock):
    class Late(Storage):
        """Creates its lease when two others have led, one after the other, since it looked."""

        def put_new(self, name, data):
            assert of("green").hold()
            clock.now += LIFETIME
            assert of("yellow").hold()
            super().put_new(name, data)

    assert of("red").hold()
    clock.now += LIFETIME
    assert not of("blue", Late(storage.root)).hold()
    assert of("yellow").hold()


def test_leases_that_are_over_are_removed(of, storage, clock):
    for cluster in ("red", "blue", "green"):
        assert of(cluster).hold()
        clock.now += LIFETIME
    assert storage.names(LEADERS) == ["00000003.json"]


def test_a_damaged_lease_holds_nobody_up(of, storage):
    storage.put(f"{LEADERS}/00000007.json", b'{"cluster"')
    assert of("blue").hold()
    assert storage.names(LEADERS) == ["00000008.json"]


def test_a_lease_is_renewed_now_and_then_and_not_at_every_look(of, storage, clock):
    class Counted(Storage):
        puts = 0

        def put(self, name, data):
            self.puts += 1
            super().put(name, data)

    counted = Counted(storage.root)
    blue = of("blue", counted)
    for _ in range(60):
        assert blue.hold()
        clock.now += timedelta(seconds=1)
    assert counted.puts == 2


def test_a_root_that_cannot_be_written_is_looked_after_by_nobody_and_the_log_says_so_once(
    of, storage, clock, caplog
):
    class Failing(Storage):
        fails = True

        def put_new(self, name, data):
            if self.fails:
                raise StorageError("no space is left there")
            super().put_new(name, data)

    failing = Failing(storage.root)
    blue = of("blue", failing)
    assert [blue.hold() for _ in range(3)] == [False] * 3
    assert caplog.text.count("neither merged nor cleaned up: no space is left there") == 1
    failing.fails = False
    assert blue.hold()


def test_leases_are_kept_out_of_what_is_indexed(storage, tmp_path):
    Catalog(storage).keep_out()
    assert (tmp_path / LEADERS / ".gitignore").read_text() == "*\n"
