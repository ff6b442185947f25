"""How a node's memory is divided."""

import pytest

from actors.errors import InvalidRequest
from actors.memory import (
    NodeMemory,
    limit_for,
    node_memory,
    plan_budgets,
    room_for_actors,
)
from actors.memory.watchdog.cgroup import Group, own_group

MIB, GIB = 1 << 20, 1 << 30


def node(total):
    return NodeMemory(total, total, "physical memory")


@pytest.mark.parametrize(
    ("total", "hosts", "embedders", "chosen", "embedder", "host", "control"),
    [
        (24 * GIB, 2, 1, {}, 8704 * MIB, 4352 * MIB, 512 * MIB),
        (8 * GIB, 1, 1, {}, 2560 * MIB, 2560 * MIB, 512 * MIB),
        (3 * GIB, 2, 2, {}, 256 * MIB, 256 * MIB, 512 * MIB),
        (1 * GIB, 2, 1, {}, 256 * MIB, 256 * MIB, 512 * MIB),
        (8 * GIB, 2, 1, {"embedder": GIB}, GIB, 1280 * MIB, 512 * MIB),
        (8 * GIB, 2, 1, {"embedder": 4 * GIB}, 4 * GIB, 512 * MIB, 512 * MIB),
        (8 * GIB, 1, 2, {"host": GIB, "control": 256 * MIB}, 1408 * MIB, GIB, 256 * MIB),
        (8 * GIB, 1, 1, {"host": GIB, "embedder": GIB}, GIB, GIB, 512 * MIB),
    ],
)
def test_a_part_is_kept_back_and_the_rest_divided(
    total, hosts, embedders, chosen, embedder, host, control
):
    plan = plan_budgets(node(total), hosts=hosts, embedders=embedders, routers=1, chosen=chosen)
    assert (plan.embedder, plan.host, plan.control) == (embedder, host, control)


def test_the_explanation_has_the_figures_and_says_when_it_does_not_fit():
    roomy = plan_budgets(node(24 * GIB), hosts=2, embedders=1, routers=1, chosen={}).explanation
    for figure in ("24576 MiB (physical memory)", "6144 MiB stay", "4352 MiB for each host (2)"):
        assert figure in roomy
    assert "more than there is" not in roomy
    tight = plan_budgets(node(GIB), hosts=2, embedders=1, routers=1, chosen={}).explanation
    assert "1792 MiB more than there is" in tight


@pytest.mark.parametrize("kind", ["embedder", "host", "control"])
def test_a_limit_above_what_the_node_has_is_refused(kind):
    with pytest.raises(InvalidRequest, match=f"SHOAL_{kind.upper()}_MEMORY is 3072 MiB.* 2048 MiB"):
        plan_budgets(node(2 * GIB), hosts=1, embedders=1, routers=1, chosen={kind: 3 * GIB})


def test_among_others_a_node_refuses_no_limit_that_a_larger_one_may_have_room_for():
    chosen = {"embedder": 3 * GIB}
    few = {"hosts": 1, "embedders": 1, "routers": 1}
    assert plan_budgets(node(2 * GIB), **few, chosen=chosen, is_alone=False).embedder == 3 * GIB


@pytest.mark.parametrize(
    ("total", "object_store", "room"),
    [
        (16 * GIB, 256 * MIB, 12 * GIB),
        (16 * GIB, 80 * MIB, 12 * GIB),
        (16 * GIB, 4 * GIB, 8 * GIB + 256 * MIB),
        (2 * GIB, 256 * MIB, GIB),
        (GIB // 2, GIB, 0),
    ],
)
def test_on_a_node_of_a_cluster_rays_shared_memory_is_kept_back_too(total, object_store, room):
    assert room_for_actors(total, object_store) == room


@pytest.mark.parametrize(
    ("footprint", "most", "limit"),
    [
        (8 * MIB, 8 * GIB, 512 * MIB),
        (200 * MIB, 8 * GIB, 592 * MIB),
        (2 * GIB, 4 * GIB, 4 * GIB),
        (8 * MIB, 300 * MIB, 300 * MIB),
    ],
)
def test_a_replica_may_hold_what_its_model_needs(footprint, most, limit):
    assert limit_for(footprint, most) == limit


def test_this_node_has_memory():
    found = node_memory()
    assert 0 < found.available <= found.total
    assert found.source == "physical memory" or found.source.startswith("cgroup v")


MOUNT_2 = "30 23 0:26 / {at} rw - cgroup2 cgroup2 rw\n"
CGROUPS = {
    "version 1, whole hierarchy": (
        "4:memory:/jobs/7\n0::/\n",
        "35 31 0:32 / {at} rw - cgroup cgroup rw,memory\n",
        ("jobs/7", 1),
    ),
    "version 1, container": (
        "4:cpu,memory:/docker/abc\n",
        "35 31 0:32 /docker/abc {at} rw - cgroup cgroup rw,cpu,memory\n",
        ("", 1),
    ),
    "version 2": ("0::/user/app\n", MOUNT_2, ("user/app", 2)),
    "version 2, path of the host": ("0::/../gone\n", MOUNT_2, ("", 2)),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_a_processes_own_group_is_found(tmp_path, case):
    groups, mounts, (below, version) = CGROUPS[case]
    (tmp_path / "memory" / below).mkdir(parents=True)
    (tmp_path / "cgroup").write_text(groups)
    (tmp_path / "mountinfo").write_text(mounts.format(at=tmp_path / "memory"))
    found = own_group(str(tmp_path))
    assert (found.path, found.version) == (str(tmp_path / "memory" / below).rstrip("/"), version)


def test_a_group_of_version_2_tells_its_limits_free_memory_and_kills(tmp_path):
    for name, content in {
        "memory.max": "1000000",
        "memory.current": "700000",
        "memory.stat": "anon 5\nshmem 3000\nactive_file 100\ninactive_file 200000\n",
        "memory.events": "low 0\nhigh 0\nmax 3\noom 2\noom_kill 1\n",
        "cgroup.procs": "",
    }.items():
        (tmp_path / name).write_text(content)
    group = Group(str(tmp_path), 2)
    assert (group.limit(), group.free(), group.shared()) == (1_000_000, 500_100, 3000)
    assert group.oom_kills() == 1
    assert [found.path for found in group.with_ancestors()] == [str(tmp_path)]
    made = group.below("shoal-x-1", 5000)
    written = {
        name: (tmp_path / "shoal-x-1" / name).read_text()
        for name in ("memory.max", "memory.oom.group")
    }
    assert written == {"memory.max": "5000", "memory.oom.group": "1"}
    assert made.limit() == 5000
    (tmp_path / "memory.max").write_text("max\n")
    assert (group.limit(), group.free()) == (None, None)


def test_what_one_kind_does_not_take_stays_for_further_pools():
    chosen = {"embedder": 512 * MIB}
    plan = plan_budgets(node(8 * GIB), hosts=2, embedders=1, routers=1, chosen=chosen)
    taken = 2 * plan.host + 2 * plan.control + plan.embedder
    assert plan.actors - taken > 3 * plan.embedder
