"""Leases on generations: they end by themselves, move with what is served, and disturb nobody."""

from datetime import UTC, datetime, timedelta

import pytest

from actors.errors import CorruptData, StorageError
from actors.leases import LIFETIME, Keeper, Leases
from actors.storage import Storage


class Clock:
    def __init__(self):
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.now

    def forward(self, **time):
        self.now += timedelta(**time)


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path / "root"))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(storage, clock):
    return Leases(storage, clock)


def test_holders_of_a_generation_are_counted_and_each_holds_one(leases):
    leases.take("c", "a", 1)
    leases.take("c", "b", 1)
    leases.take("c", "b", 2)
    assert leases.held("c") == {1: 1, 2: 1}
    leases.release("c", "a")
    leases.release("c", "a")
    assert leases.held("c") == {2: 1}
    assert leases.held("another") == {}


def test_a_lease_ends_unless_it_is_renewed(leases, clock):
    leases.take("c", "a", 1)
    leases.take("c", "b", 1)
    clock.now += LIFETIME / 2
    leases.take("c", "b", 1)
    clock.now += LIFETIME / 2
    assert leases.held("c") == {1: 1}


def test_the_file_of_a_lease_that_ended_long_ago_is_removed(leases, clock, storage):
    leases.take("c", "a", 1)
    leases.forget("c")
    clock.forward(hours=2)
    leases.take("c", "b", 1)
    leases.forget("c")
    assert storage.names("collections/c/leases") == ["b.json"]


def test_a_damaged_lease_is_named(leases, storage):
    storage.put("collections/c/leases/a.json", b'{"generation"')
    with pytest.raises(CorruptData, match=r"collections/c/leases/a\.json.* delete it"):
        leases.held("c")


def test_a_keeper_holds_what_is_served_and_nothing_else(leases):
    keeper, other = Keeper(leases, "router-0"), Keeper(leases, "router-0")
    keeper.renew({"a": 1, "b": 5})
    other.renew({"a": 1})
    assert (leases.held("a"), leases.held("b")) == ({1: 2}, {5: 1})
    keeper.renew({"a": 2})
    assert (leases.held("a"), leases.held("b")) == ({1: 1, 2: 1}, {})


def test_a_lease_that_cannot_be_written_is_logged_and_keeps_no_other(leases, monkeypatch, caplog):
    take = leases.take

    def failing(collection, holder, generation):
        if collection == "a":
            message = "no space is left there"
            raise StorageError(message)
        take(collection, holder, generation)

    monkeypatch.setattr(leases, "take", failing)
    Keeper(leases, "router-0").renew({"a": 1, "b": 5})
    assert "no space is left there" in caplog.text
    assert leases.held("b") == {5: 1}
