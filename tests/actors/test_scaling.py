"""What a scale means, what it costs, and how it is remembered."""

import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import MemoryLimitExceeded
from actors.layout import Demand, Limits, Node
from actors.messages import Scale, Topology
from actors.placement import lay_out
from actors.routing.place import placement
from actors.routing.warming import shards_by_host
from actors.scaling import Need, ScaleFile, changed, refuse_beyond
from actors.storage import Storage

CONFIGURED = Scale(embedders=1, hosts=2, replication=2, routers=1)
MIB = 1 << 20


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def layout_of(scale):
    machine = Node("here", "127.0.0.1", True, 2, 8192 * MIB, 8192 * MIB, 256 * MIB)
    return lay_out([machine], Demand(scale, Limits(MIB, MIB, MIB)), {})


def test_a_shard_has_no_more_hosts_than_there_are():
    hosts = ("host-0", "host-1", "host-2")
    assert layout_of(Scale(1, 3, 2, 1)).topology == Topology(hosts, 2)
    assert layout_of(Scale(1, 1, 2, 1)).topology == Topology(("host-0",), 1)


def test_a_count_that_is_not_given_stays():
    assert changed(CONFIGURED, hosts=4, routers=None) == Scale(1, 4, 2, 1)
    assert changed(CONFIGURED) == CONFIGURED


def test_only_hosts_and_routers_beyond_the_scale_are_left_over():
    names = ["steward", "router-0", "router-1", "host-1", "host-10", "embedder-1f-9", "other"]
    assert layout_of(CONFIGURED).left_over(names) == ("router-1", "host-10")


def test_what_does_not_fit_is_refused_with_the_figures_and_the_way_out():
    needs = [Need("host", 3, 512 * MIB, "SHOAL_HOST_MEMORY"), Need("router", 1, 64 * MIB, "X")]
    refuse_beyond(1600 * MIB, needs)
    said = r"takes 1600 MiB more \(3 of host at 512 MiB \(SHOAL_HOST_MEMORY\), .*has 1599 MiB left"
    with pytest.raises(MemoryLimitExceeded, match=said):
        refuse_beyond(1600 * MIB - 1, needs)


def test_without_a_record_the_settings_count(storage):
    assert ScaleFile(storage, "scale/a.json").wanted(CONFIGURED) == CONFIGURED


def test_what_was_asked_for_is_remembered_for_each_cluster(storage):
    ScaleFile(storage, "scale/a.json").keep(Scale(2, 5, 3, 2), CONFIGURED)
    assert ScaleFile(storage, "scale/a.json").wanted(CONFIGURED) == Scale(2, 5, 3, 2)
    assert ScaleFile(storage, "scale/b.json").wanted(CONFIGURED) == CONFIGURED


def test_a_setting_that_was_changed_since_counts_and_the_others_stay_as_asked_for(storage):
    file = ScaleFile(storage, "scale/a.json")
    file.keep(Scale(2, 5, 3, 2), CONFIGURED)
    assert file.wanted(changed(CONFIGURED, hosts=3)) == Scale(2, 3, 3, 2)


def test_a_damaged_record_leaves_the_settings(storage, caplog):
    storage.put("scale/a.json", b'{"asked": {"hos')
    assert ScaleFile(storage, "scale/a.json").wanted(CONFIGURED) == CONFIGURED
    assert "scale/a.json" in caplog.text


def test_each_host_opens_the_shards_that_it_is_asked_for_first(storage):
    catalog = Catalog(storage)
    model = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 2)
    manifests = [catalog.publish(catalog.new(name, model, 4, "")) for name in ("a", "b")]
    topology = Topology(("host-0", "host-1", "host-2"), 2)
    served = shards_by_host(manifests, topology)
    assert sum(map(len, served.values())) == 2 * 4 * 2
    for manifest in manifests:
        places = placement(manifest.collection, 4, topology.hosts)
        for number, hosts in enumerate(places):
            holders = {host for host, shards in served.items() if manifest.shard(number) in shards}
            assert holders == set(hosts[:2])
