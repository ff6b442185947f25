"""Tools that tell what is indexed and how the cluster is."""

from __future__ import annotations

from calling import call, text_of
from stub_gateway import StubGateway, a_collection, a_job, a_status

from cluster.protocol import Problem, Replica


async def test_collections_are_listed_with_their_sources():
    result = await call(StubGateway(), "list_collections")

    assert result.structured_content["collections"][0]["source"] == "/src/shoal"
    assert "shoal: 1234 chunks, generation 7" in text_of(result)


async def test_hundreds_of_collections_are_counted_not_listed():
    many = tuple(a_collection(name=f"c{number}") for number in range(200))

    result = await call(StubGateway(collections=many), "list_collections")

    shown = len(result.structured_content["collections"])
    assert 80 < shown < 200
    assert result.structured_content["omitted"] == 200 - shown
    assert text_of(result).endswith(f"\nand {200 - shown} more")


async def test_the_status_shows_running_jobs_before_those_that_ended():
    ended = [a_job(id=f"{number:012x}", state="done") for number in range(30)]
    status = a_status(jobs=(*ended, a_job(id="f" * 12)))

    result = await call(StubGateway(status=status), "cluster_status")

    assert result.structured_content["jobs"][0]["id"] == "f" * 12
    assert len(result.structured_content["jobs"]) == 10
    told = "embedder-0: Embedder, pid 12, 100 of 512 MiB, cgroup v2 + watchdog, state=ready"
    assert told in text_of(result)


async def test_the_status_of_a_cluster_that_is_away_is_an_answer_and_no_error():
    away = Problem(error="GatewayUnavailable", message="no answer from the gateway")

    result = await call(StubGateway(status=away), "cluster_status")

    assert not result.is_error
    assert result.structured_content["problem"] == "no answer from the gateway"
    assert text_of(result) == "PROBLEM: no answer from the gateway"


async def test_the_status_says_first_what_is_wrong():
    headless = await call(StubGateway(status=a_status(nodes=0)), "cluster_status")
    assert text_of(headless).startswith("PROBLEM: the cluster's head does not answer")
    missing = a_status(replicas=(Replica(name="host-1", problem="does not answer"),))
    result = await call(StubGateway(status=missing), "cluster_status")
    assert text_of(result).startswith("PROBLEM: these do not answer, and may be restarting: host-1")


async def test_of_very_many_processes_those_with_a_problem_are_told_and_the_rest_counted():
    many = [Replica(name=f"host-{number}", kind="ShardHost", pid=number) for number in range(300)]
    many.append(Replica(name="host-300", problem="does not answer"))

    result = await call(StubGateway(status=a_status(replicas=tuple(many))), "cluster_status")

    shown = result.structured_content["replicas"]
    assert shown[0]["name"] == "host-300"
    assert result.structured_content["replicas_omitted"] == 301 - len(shown) > 0
    assert f"and {301 - len(shown)} more processes" in text_of(result)
