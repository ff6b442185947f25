"""What pods may hold, by the formula, and what actors are to hold on them."""

import subprocess
import sys
from dataclasses import replace

import pytest
import yaml
from rendered import OVERLAYS, PROJECT, groups, only, overlay, render, settings_of

from actors.index.paged import BUILD_BYTES
from actors.memory import NodeMemory, plan_budgets
from cluster.batch_job import JOB_BYTES
from cluster.settings import Settings
from cluster.sizing import Pod, pods_of, table

GIB = 1 << 30
STORE = 256 << 20


def settings(name):
    known = Settings.model_fields
    given = {k.removeprefix("SHOAL_").lower(): v for k, v in settings_of(overlay(name)).items()}
    return Settings(**{key: value for key, value in given.items() if key in known})


def pods(name):
    return {pod.group: pod for pod in pods_of(overlay(name))}


@pytest.mark.parametrize("name", OVERLAYS)
def test_limits_are_what_the_formula_says(name):
    for pod in pods(name).values():
        assert pod.limit == pod.needed, f"{pod.group}: {pod.needed >> 20}Mi"
        assert pod.actors + pod.tasks + pod.ray + pod.object_store <= 0.9 * pod.limit


@pytest.mark.parametrize("name", OVERLAYS)
def test_actors_are_given_no_more_of_a_pod_than_shoal_itself_would_plan(name):
    for pod in pods(name).values():
        node = NodeMemory(pod.limit, pod.limit, "a container")
        planned = plan_budgets(node, hosts=1, embedders=1, routers=1, chosen={}).actors
        assert pod.actors <= planned - max(0, pod.object_store - STORE), pod.group


@pytest.mark.parametrize("name", OVERLAYS)
def test_shared_memory_is_as_actors_are_told(name):
    told = settings(name).object_store_bytes
    workers = [pod for pod in pods(name).values() if not pod.is_head]
    assert {pod.object_store for pod in workers} == {told}


@pytest.mark.parametrize("name", OVERLAYS)
def test_all_actors_find_a_place_on_the_pods_that_are_always_there(name):
    wanted, hosts = settings(name), groups(overlay(name))["hosts"]
    serve = yaml.safe_load(only(overlay(name), "RayService")["spec"]["serveConfigV2"])
    (deployment,) = serve["applications"][0]["deployments"]
    gateways = serve["applications"][0]["args"]["gateways"]
    count = hosts["minReplicas"]
    demand = wanted.hosts * wanted.host_memory
    demand += (wanted.routers + 1) * wanted.control_memory
    demand += gateways * deployment["ray_actor_options"]["memory"]
    if name != "gpu":
        demand += wanted.embedders * wanted.embedder_memory
    room = pods(name)["hosts"].actors
    assert demand + count * BUILD_BYTES <= count * room
    assert wanted.hosts == gateways == count


def test_a_batch_job_finds_room_beside_its_replica():
    wanted, batch = settings("cpu"), pods("cpu")["batch"]
    assert JOB_BYTES + wanted.embedder_memory + (128 << 20) + BUILD_BYTES <= batch.actors


def test_a_replica_on_a_gpu_has_its_pod_for_itself_and_fits_no_other():
    wanted, sizes = settings("gpu"), pods("gpu")
    fits = {pod.group for pod in sizes.values() if pod.actors >= wanted.embedder_memory}
    assert fits == {"embedders"}
    assert sizes["embedders"].actors < 2 * wanted.embedder_memory


def test_nothing_of_shoal_is_placed_on_the_head():
    assert {pods(name)["head"].actors for name in OVERLAYS} == {0}


@pytest.mark.parametrize("change", [{"actors": 5 * GIB}, {"object_store": GIB}, {"cpus": 2}])
def test_more_of_anything_needs_more(change):
    pod = Pod("hosts", limit=0, actors=4 * GIB, object_store=STORE, cpus=1)
    assert replace(pod, **change).needed > pod.needed


def test_a_container_that_is_too_small_is_named():
    small = render("overlays/cpu").replace(
        f"memory: {pods('cpu')['hosts'].limit >> 20}Mi", "memory: 2Gi"
    )
    command = [sys.executable, "-m", "cluster.sizing"]
    done = subprocess.run(
        command, input=small, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "error: hosts has 2048 MiB and needs" in done.stderr


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_documentation_tells_what_the_formula_says(name):
    told = (PROJECT / "docs/kubernetes.md").read_text()
    assert table(pods_of(overlay(name))) in told
