"""Replicas come to their places: made, loaded where the old ones were, and then the old ones go."""

from types import SimpleNamespace

import pytest
from tiny_cross_encoder import write_cross_encoder

from actors import pools
from actors.engines.registry import BUILTIN, describe
from actors.errors import MemoryLimitExceeded
from actors.layout import Demand, Limits, Node
from actors.messages import AUTO, POOL_LEASE_S, Scale
from actors.placement import lay_out
from actors.pool_plan import PoolPlan
from actors.pools import Pools
from actors.process import MemoryConfig

GIB = 1 << 30
PLAN = PoolPlan(BUILTIN, 300.0, 1, MemoryConfig(GIB, 0.8, 0.95, "auto", 0), True, True)
WEIGHTS = str(describe(BUILTIN).fingerprint)


def node(name, is_head=False, total=8 * GIB):
    return Node(name, name, is_head, 2, total, total, 0)


class Remote:
    """A remote method that returns at once."""

    def __init__(self, answer):
        self._answer = answer

    def remote(self, *args):
        return self._answer(*args)


class Replicas:
    """Machines, and the replicas on them, of a cluster without any process."""

    def __init__(self):
        self.nodes = [node("head", is_head=True), node("a")]
        self.at = {}
        self.state = {}
        self.loaded = []
        self.options = {}

    def layout(self, demands, wanted=None):
        scale = wanted or Scale(AUTO, AUTO, 2, AUTO)
        demand = Demand(scale, Limits(GIB, GIB, GIB // 4), tuple(demands))
        return lay_out(self.nodes, demand, self.at)

    def made(self, _kind, config, **options):
        self.options[config.name] = config
        self.at.setdefault(config.name, options["scheduling_strategy"])
        return self.handle(config.name)

    def handle(self, name):
        status = SimpleNamespace(detail={"state": self.state.get(name, "unloaded")})
        return SimpleNamespace(
            name=name,
            status=Remote(lambda: status),
            load=Remote(lambda: self.loaded.append(name)),
            configuration=Remote(lambda: self.options[name]),
        )


@pytest.fixture
def cluster(monkeypatch):
    made = Replicas()
    monkeypatch.setattr(pools, "names_of_actors", lambda: list(made.at))
    monkeypatch.setattr(pools, "find_or_make", made.made)
    monkeypatch.setattr(pools, "find_actor", made.handle)
    monkeypatch.setattr(pools.ray, "get_actor", lambda name, namespace: made.handle(name))
    at = {"placed_at": lambda place, _: {"scheduling_strategy": place.node if place else ""}}
    quiet = dict.fromkeys(("refuse_where_full", "_refuse_where_no_node_has_room"), lambda *_: None)
    answers = {"answers_within": lambda calls, within_s: list(calls.values())}
    started = {"wait_until_started": lambda made: None}
    for name, fake in {**at, **quiet, **answers, **started}.items():
        monkeypatch.setattr(pools, name, fake)
    return made


@pytest.fixture
def known(cluster):
    return Pools(PLAN, "steward", cluster)


def numbers(names):
    return [name.rpartition("-")[2] for name in names]


def test_a_pool_has_the_places_that_the_machines_give_it(cluster, known):
    pool = known.get("")
    assert {cluster.at[name] for name in pool.embedders} == {"head", "a"}
    assert known.get("", WEIGHTS) is known.get("") is pool


def test_a_replica_that_takes_the_place_of_a_loaded_one_loads_before_that_ends(cluster, known):
    pool = known.get("")
    on_head = next(name for name in pool.embedders if cluster.at[name] == "head")
    cluster.state[on_head] = "ready"
    cluster.nodes.append(node("b"))
    layout = cluster.layout(known.demands())
    assert known.beyond(layout) == [on_head]
    (new,) = known.missing(layout)
    known.grow(layout)
    assert cluster.loaded == [new]
    (both,) = known.all()
    assert set(both.embedders) == {*pool.embedders, new}
    assert known.shrink(layout) == (on_head,)
    (after,) = known.all()
    assert {cluster.at[name] for name in after.embedders} == {"a", "b"}


def test_no_model_is_loaded_that_was_not(cluster, known):
    known.get("")
    cluster.nodes.append(node("b"))
    known.grow(cluster.layout(known.demands()))
    assert cluster.loaded == []


def test_the_replicas_of_a_steward_that_died_are_known_under_their_names(cluster, known):
    names = [f"{known.get('').embedders[0][:-2]}-{number}" for number in (3, 5)]
    cluster.at = dict(zip(names, ("a", "head"), strict=True))
    for name in names:
        cluster.options[name] = SimpleNamespace(name=name, model=BUILTIN, weights=WEIGHTS)
    other = Pools(PLAN, "steward", cluster)
    other.take_over([*names, "host-0"])
    (pool,) = other.all()
    assert numbers(pool.embedders) == ["3", "5"]
    assert other.missing(cluster.layout(other.demands())) == []


def test_the_pool_of_a_cross_encoder_lives_as_long_as_its_model_stays_loaded(
    known, tmp_path, monkeypatch
):
    monkeypatch.setattr(pools, "end_actor", lambda _: None)
    cross = known.get(str(write_cross_encoder(tmp_path)))
    embedding = known.get("")

    def retired(after_s):
        known._leases = {key: until - after_s for key, until in known._leases.items()}
        return known.retire([])

    assert retired(POOL_LEASE_S) == [embedding]
    assert retired(PLAN.keep_alive_s - POOL_LEASE_S - 1) == []
    assert retired(1) == [cross]


def test_a_model_for_which_no_node_has_room_is_refused_with_the_reason(cluster, known):
    cluster.nodes = [node("head", is_head=True, total=GIB), node("a", total=GIB)]
    with pytest.raises(MemoryLimitExceeded, match="no node has a place for a replica of static"):
        known.get("")
    assert known.all() == ()
