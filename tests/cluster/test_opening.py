"""A browser's way to a gateway that listens on a socket."""

import asyncio
import contextlib
import os

import pytest
from command import run_shoal

from cluster.opening import page_address, pass_on


@contextlib.asynccontextmanager
async def passing_on(socket):
    listening = asyncio.get_running_loop().create_future()
    passing = asyncio.create_task(pass_on(str(socket), 0, listening.set_result))
    async with asyncio.timeout(10):
        url = await listening
    try:
        yield int(url.rsplit(":", 1)[1])
    finally:
        passing.cancel()
        await asyncio.wait([passing])


@contextlib.asynccontextmanager
async def gateway(socket, answer):
    async with asyncio.TaskGroup() as connections:

        async def answered(reader, writer):
            await answer(reader, writer)
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_unix_server(
            lambda *pipes: connections.create_task(answered(*pipes)) and None, str(socket)
        )
        yield
        server.close()


async def hang_up(writer):
    writer.close()
    await writer.wait_closed()


@pytest.fixture
def socket(tmp_path):
    return tmp_path / "s"


def test_the_token_stays_behind_the_hash_whatever_is_in_it():
    assert page_address("http://h:1/", "a/b+c#&é") == "http://h:1/#token=a%2Fb%2Bc%23%26%C3%A9"


async def test_bytes_go_both_ways_many_callers_at_once(socket):
    async def echo(reader, writer):
        while piece := await reader.read(1000):
            writer.write(piece)

    async def call(port, content):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(content)
        back = await reader.readexactly(len(content))
        await hang_up(writer)
        return back

    contents = [bytes([i]) * 300_000 for i in range(8)]
    async with gateway(socket, echo), passing_on(socket) as port, asyncio.timeout(30):
        assert await asyncio.gather(*(call(port, c) for c in contents)) == contents


async def test_a_browser_that_hangs_up_is_hung_up_on_behind(socket):
    heard = asyncio.get_running_loop().create_future()

    async def wait(reader, writer):
        await reader.readexactly(2)
        heard.set_result(await reader.read())

    async with gateway(socket, wait), passing_on(socket) as port, asyncio.timeout(10):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hi")
        await hang_up(writer)
        assert await heard == b""


async def test_an_answer_that_ends_the_connection_arrives_whole(socket):
    content = b"x" * 2_000_000

    async def say(_reader, writer):
        writer.write(content)
        await writer.drain()

    async with gateway(socket, say), passing_on(socket) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read(-1) == content
        await hang_up(writer)


async def test_where_no_gateway_is_the_connection_closes(socket):
    async with passing_on(socket) as port, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        await hang_up(writer)


def test_a_gateway_elsewhere_is_opened_at_its_own_address():
    env = {**os.environ, "SHOAL_TOKEN": "a/b"}
    done = run_shoal("open", "--url", "https://gateway.example/", env=env)
    assert done.stdout == "https://gateway.example/#token=a%2Fb\n"


async def test_it_ends_while_browsers_hold_connections(socket):
    connected = asyncio.Event()

    async def wait(reader, _writer):
        connected.set()
        await reader.read()

    async with gateway(socket, wait), asyncio.timeout(10):
        async with passing_on(socket) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await connected.wait()
        assert await reader.read() == b""
        await hang_up(writer)
