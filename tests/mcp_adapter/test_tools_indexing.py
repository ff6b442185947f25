"""Tools that index, follow jobs and delete."""

from __future__ import annotations

import asyncio
import os

import pytest
from calling import call, host_of, text_of
from mcp import Client
from stub_gateway import StubGateway, a_collection, a_job
from waiting import BOUND_S, eventually

from cluster.protocol import FileError
from mcp_adapter.locating import on_the_gateway, on_this_machine
from mcp_adapter.server import build_server


async def test_indexing_returns_a_job_at_once_with_the_absolute_path(tmp_path, monkeypatch):
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    gateway = StubGateway()

    result = await call(gateway, "index_path", on_this_machine, path="src")

    assert gateway.bodies == [{"paths": [str(tmp_path / "src")]}]
    assert result.structured_content["job_id"] == "0a1b2c3d4e5f"
    assert "job_status(job_id='0a1b2c3d4e5f'" in text_of(result)


async def test_what_to_take_of_a_folder_is_sent_along():
    gateway = StubGateway()

    chosen = {"include": ["*.py", "docs/"], "exclude": ["tests/"]}
    await call(gateway, "index_path", path="/src", **chosen)
    refused = await call(gateway, "index_path", path="/src", include=["!*.py"])

    assert gateway.bodies == [{"paths": ["/src"], **chosen}]
    assert "'!*.py' is no glob" in text_of(refused)


async def test_a_path_that_does_not_exist_never_reaches_the_gateway(tmp_path):
    gateway = StubGateway()

    missing = str(tmp_path / "missing")
    result = await call(gateway, "index_path", on_this_machine, path=missing)

    assert result.is_error
    assert f"{missing} does not exist on this machine" in text_of(result)
    assert gateway.bodies == []


async def test_a_relative_path_means_nothing_in_the_root_folder(monkeypatch):
    monkeypatch.chdir(os.sep)

    result = await call(StubGateway(), "index_path", on_this_machine, path="src")

    assert "give an absolute path" in text_of(result)


@pytest.mark.parametrize(
    ("path", "sent"), [("/src", True), ("C:\\src", True), ("src", False), ("~/src", False)]
)
async def test_another_machine_takes_absolute_paths_only(path, sent):
    gateway = StubGateway()

    result = await call(gateway, "index_path", path=path)

    assert result.is_error != sent
    assert bool(gateway.bodies) == sent


@pytest.mark.parametrize("locate", [on_this_machine, on_the_gateway])
@pytest.mark.parametrize("uri", ["s3://bucket/docs", "git+https://host/x.git@main"])
async def test_a_uri_is_sent_as_it_is(uri, locate):
    gateway = StubGateway()

    result = await call(gateway, "index_path", locate, path=uri)

    assert not result.is_error
    assert gateway.bodies == [{"paths": [uri]}]


async def test_a_job_says_how_far_it_is():
    result = await call(StubGateway(), "job_status", job_id="0a1b2c3d4e5f")

    (job,) = result.structured_content["jobs"]
    assert (job["files_done"], job["eta_s"]) == (120, 28.0)
    said = text_of(result)
    assert "(index of /src/shoal), collection shoal: running" in said
    assert "running (reading and embedding), 120 of 400 files" in said
    assert said.splitlines()[0].endswith("10.0 files/s, about 28 s left")


async def test_the_first_files_in_error_are_named_and_the_rest_counted():
    errors = tuple(FileError(path=f"{n}\n.py", reason="unreadable") for n in range(25))
    gateway = StubGateway(jobs=a_job(errors=errors, errors_omitted=3))

    result = await call(gateway, "job_status", job_id="0a1b2c3d4e5f")

    (job,) = result.structured_content["jobs"]
    assert (len(job["errors"]), job["errors_omitted"]) == (20, 8)
    assert "\nin error: 19 .py: unreadable\n8 files in error are not listed" in text_of(result)


async def test_without_a_job_id_the_latest_jobs_are_listed():
    many = tuple(a_job(id=f"{number:012x}") for number in range(12))

    result = await call(StubGateway(jobs=many), "job_status")

    assert [job["id"] for job in result.structured_content["jobs"]] == [j.id for j in many[:10]]
    assert text_of(result).endswith("\nand 2 older ones")
    assert text_of(await call(StubGateway(jobs=()), "job_status")).startswith("No jobs yet.")


async def test_a_job_is_cancelled_and_told_as_it_is_then():
    gateway = StubGateway(jobs=a_job(state="cancelled"))

    result = await call(gateway, "cancel_job", job_id="0a1b2c3d4e5f")

    assert gateway.calls == [("DELETE", "/v1/jobs/0a1b2c3d4e5f")]
    assert result.structured_content["jobs"][0]["state"] == "cancelled"
    assert "collection shoal: cancelled" in text_of(result)


async def test_a_failed_job_is_an_answer_that_names_its_error():
    failed = a_job(state="failed", error="no space left", error_kind="StorageError")

    result = await call(StubGateway(jobs=failed), "job_status", job_id="0a1b2c3d4e5f")

    assert not result.is_error
    assert "StorageError: no space left" in text_of(result)


@pytest.mark.parametrize("tool", ["job_status", "cancel_job"])
async def test_a_job_id_cannot_reach_another_operation(tool):
    gateway = StubGateway()

    result = await call(gateway, tool, job_id="../collections/shoal")

    assert result.is_error
    assert gateway.bodies == []


def a_job_that_ends(after: int = 3):
    """Return what tells of a job further on at each look, and done at the last."""
    told = iter(range(1, after + 1))

    def look():
        step = next(told)
        return a_job(files_done=100 * step, state="done" if step == after else "running")

    return look


@pytest.mark.parametrize(
    ("tool", "arguments"), [("index_path", {"path": "/src"}), ("job_status", {"job_id": "1"})]
)
async def test_a_call_waits_for_the_end_of_a_job_and_tells_its_progress(tool, arguments):
    heard = []

    async def hear(done, total, message):
        heard.append((done, total, message))

    gateway = StubGateway(index=a_job(files_done=0), jobs=a_job_that_ends())
    async with host_of(gateway) as host:
        waiting = {**arguments, "wait_s": 30}
        result = await host.call_tool(tool, waiting, progress_callback=hear)

    said = text_of(result)
    assert "collection shoal: done" in said
    assert "wait_s=30" not in said
    assert {(total, message) for _, total, message in heard} == {(400, "reading and embedding")}
    assert [done for done, _, _ in heard][-2:] == [100, 200]
    assert [done for done, _, _ in heard] == sorted({done for done, _, _ in heard})


async def test_a_call_that_is_cancelled_while_it_waits_takes_its_job_along():
    gateway = StubGateway()
    async with host_of(gateway) as host:
        arguments = {"path": "/src", "wait_s": 30}
        calling = asyncio.create_task(host.call_tool("index_path", arguments))
        await eventually(lambda: "jobs" in gateway.asked)
        calling.cancel()
        await eventually(lambda: ("DELETE", "/v1/jobs/0a1b2c3d4e5f") in gateway.calls)


async def test_a_call_that_is_cancelled_before_its_job_is_known_takes_it_along_too():
    asked, answered, cancelled = asyncio.Event(), asyncio.Event(), []

    class Slow:
        async def index(self, paths, **_chosen):
            asked.set()
            await answered.wait()
            return a_job(id="late")

        async def cancel(self, job_id):
            cancelled.append(job_id)

    async with Client(build_server(Slow())) as host:
        calling = asyncio.create_task(host.call_tool("index_path", {"path": "/src"}))
        await asyncio.wait_for(asked.wait(), BOUND_S)
        calling.cancel()
        answered.set()
        await eventually(lambda: cancelled)

    assert cancelled == ["late"]


async def test_a_look_at_a_job_that_is_cancelled_leaves_the_job_alone():
    gateway = StubGateway()
    async with host_of(gateway) as host:
        arguments = {"job_id": "0a1b2c3d4e5f", "wait_s": 30}
        calling = asyncio.create_task(host.call_tool("job_status", arguments))
        await eventually(lambda: "jobs" in gateway.asked)
        calling.cancel()
        await host.call_tool("list_collections", {})

    assert all(method == "GET" for method, _ in gateway.calls)


async def test_waiting_for_no_job_in_particular_is_refused():
    result = await call(StubGateway(), "job_status", wait_s=1)

    assert "wait_s waits for one job: give its job_id." in text_of(result)


async def test_nothing_is_deleted_before_the_user_has_agreed():
    gateway = StubGateway()

    result = await call(gateway, "delete_collection", name="shoal")

    assert result.is_error
    assert "forget shoal (1234 chunks from /src/shoal)" in text_of(result)
    assert "confirm=true" in text_of(result)
    assert gateway.calls == [("GET", "/v1/collections")]


async def test_a_collection_is_deleted_once_that_is_confirmed():
    gateway = StubGateway()

    result = await call(gateway, "delete_collection", name="shoal", confirm=True)

    assert gateway.calls[-1] == ("DELETE", "/v1/collections/shoal")
    assert result.structured_content == {"deleted": ["shoal"]}
    assert text_of(result).startswith("Deleted: shoal.")


async def test_a_collection_that_there_is_not_cannot_be_deleted():
    gateway = StubGateway(collections=(a_collection(),))

    result = await call(gateway, "delete_collection", name="../shoal", confirm=True)

    assert "there is no collection '../shoal'. list_collections names" in text_of(result)
    assert [method for method, _ in gateway.calls] == ["GET"]
