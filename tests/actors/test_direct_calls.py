"""Calls to an actor's own socket: answered, failed, withdrawn and broken as through Ray."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ray.exceptions import ActorUnavailableError
from waiting import until

from actors import direct_wire
from actors.direct import DirectHandle, Line, reached
from actors.direct_wire import Address, Answer, Frames, Request, Withdrawal, framed
from actors.errors import Overloaded
from actors.listening import Listener, listen_in_thread

METHODS = frozenset({"double", "overloaded", "unsendable", "hold"})


class Slow:
    """An actor of threads: what it is asked waits until it may go on."""

    def __init__(self):
        self.begun = []
        self.may_go_on = threading.Event()

    def hold(self, number):
        self.begun.append(number)
        self.may_go_on.wait(20)
        return number

    def begun_with(self):
        return list(self.begun)


class Quick:
    """An actor of coroutines."""

    def __init__(self):
        self.cancelled = 0

    async def double(self, value, times=2):
        return value * times

    async def overloaded(self):
        raise Overloaded("too much", retry_after_s=0.5)

    async def unsendable(self):
        return threading.Lock()

    async def hold(self):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class RayHandle:
    """What looks like an actor's handle to who asks where it listens."""

    def __init__(self, address):
        self._address = address

    @property
    def listens(self):
        return self

    async def remote(self):
        return self._address


@pytest.fixture
async def quick():
    actor = Quick()
    address = listen_in_thread(Listener(actor, METHODS))
    line = Line("router-0", address)
    yield actor, DirectHandle(None, line), address
    line.close()
    await asyncio.sleep(0)


@pytest.fixture
async def slow():
    actor = Slow()
    with ThreadPoolExecutor(1) as threads:
        listener = Listener(actor, METHODS, lambda _request: threads)
        line = Line("host-0", listen_in_thread(listener))
        yield actor, DirectHandle(None, line)
        actor.may_go_on.set()
        line.close()
        await asyncio.sleep(0)


async def test_what_a_method_returns_comes_back(quick):
    _, handle, _ = quick
    assert await handle.double.remote("ab") == "abab"
    assert await handle.double.remote(3, times=5) == 15
    large = await handle.double.remote(b"x" * 3_000_000)
    assert len(large) == 6_000_000


async def test_calls_at_once_each_get_their_own(quick):
    _, handle, _ = quick
    calls = [handle.double.remote(number) for number in range(50)]
    assert await asyncio.gather(*calls) == [2 * number for number in range(50)]


async def test_what_it_raises_is_raised_whole(quick):
    _, handle, _ = quick
    with pytest.raises(Overloaded, match="too much") as raised:
        await handle.overloaded.remote()
    assert raised.value.retry_after_s == 0.5


async def test_an_answer_that_cannot_be_sent_is_told_and_the_next_is_answered(quick):
    _, handle, _ = quick
    with pytest.raises(RuntimeError, match="cannot be sent"):
        await handle.unsendable.remote()
    assert await handle.double.remote(1) == 2


async def test_only_methods_that_are_named_are_called_directly(quick):
    _, handle, address = quick
    with pytest.raises(AttributeError):  # the Ray handle's, which is None here
        handle.configuration.remote()
    stranger = DirectHandle(None, Line("router-0", Address(address.socket, frozenset({"x"}))))
    with pytest.raises(AttributeError):
        await stranger.x.remote()
    stranger.line.close()


async def test_a_withdrawn_coroutine_is_cancelled_and_its_call_ends(quick):
    actor, handle, _ = quick
    call = handle.hold.remote()
    await asyncio.sleep(0.05)
    call.withdraw()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 5)
    assert actor.cancelled == 1
    assert await handle.double.remote(2) == 4


async def test_a_withdrawn_call_that_has_not_begun_never_begins(slow):
    actor, handle = slow
    first, second = handle.hold.remote(1), handle.hold.remote(2)
    while not actor.begun:
        await asyncio.sleep(0.01)
    second.withdraw()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(second, 5)
    actor.may_go_on.set()
    assert await first == 1
    assert actor.begun == [1]


async def test_a_withdrawn_call_that_has_begun_is_over_once_the_thread_is_through(slow):
    actor, handle = slow
    call = handle.hold.remote(1)
    while not actor.begun:
        await asyncio.sleep(0.01)
    call.withdraw()
    done, _ = await asyncio.wait({asyncio.ensure_future(call)}, timeout=0.2)
    assert not done, "whoever balances load would take it for idle"
    actor.may_go_on.set()
    with pytest.raises(TimeoutError):
        await call


async def test_a_call_that_waits_holds_up_none_that_runs_elsewhere():
    actor = Slow()
    with ThreadPoolExecutor(1) as patient, ThreadPoolExecutor(1) as prompt:
        chosen = {"hold": patient, "begun_with": prompt}
        listener = Listener(actor, frozenset(chosen), lambda request: chosen[request.method])
        line = Line("host-0", listen_in_thread(listener))
        handle = DirectHandle(None, line)
        held = asyncio.ensure_future(handle.hold.remote(1))
        while await asyncio.wait_for(handle.begun_with.remote(), 5) != [1]:
            await asyncio.sleep(0.01)
        assert not held.done()
        actor.may_go_on.set()
        assert await held == 1
        line.close()
        await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["quick", "slow"])
def test_a_call_that_comes_together_with_its_withdrawal_is_answered(kind):
    threads = ThreadPoolExecutor(1) if kind == "slow" else None
    chosen = (lambda _request: threads) if threads else None
    address = listen_in_thread(Listener(Slow() if threads else Quick(), METHODS, chosen))
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(5)
        caller.connect(f"\0{address.socket}")
        caller.sendall(framed(Request("hold", (1,), {})) + framed(Withdrawal()))
        (answer,) = Frames().add(caller.recv(1 << 16))
    assert isinstance(answer.error, TimeoutError)


async def test_a_call_withdrawn_before_it_was_sent_is_not_made(slow):
    actor, handle = slow
    call = handle.hold.remote(1)
    call.withdraw()
    with pytest.raises(TimeoutError):
        await call
    assert actor.begun == []


@pytest.fixture
def doomed():
    """Yield a process that listens, and where."""
    code = (
        "import test_direct_calls as t; "
        "print(t.listen_in_thread(t.Listener(t.Quick(), t.METHODS)).socket, flush=True); input()"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=env) as process:
        yield process, Address(process.stdout.readline().strip(), METHODS)
        process.kill()


async def test_a_call_fails_as_through_ray_where_its_actor_is_killed(doomed):
    process, address = doomed
    handle = DirectHandle(None, Line("router-0", address))
    assert await handle.double.remote(1) == 2
    call = handle.hold.remote()
    await asyncio.sleep(0.05)
    process.kill()
    with pytest.raises(ActorUnavailableError, match="router-0"):
        await asyncio.wait_for(call, 5)
    assert not handle.line.is_usable


async def test_who_listens_no_more_is_unavailable():
    line = Line("host-3", Address("shoal-nobody-listens-here", METHODS))
    with pytest.raises(ActorUnavailableError, match="host-3"):
        await DirectHandle(None, line).double.remote(1)


async def test_an_actor_of_another_machine_is_called_through_ray(quick):
    elsewhere = RayHandle(Address("shoal-of-another-machine", METHODS))
    assert await reached("host-0", elsewhere, 5) is elsewhere
    without_sockets = RayHandle(Address())
    assert await reached("host-0", without_sockets, 5) is without_sockets
    here = await reached("router-0", RayHandle(quick[2]), 5)
    assert await here.double.remote(4) == 8
    here.line.close()


async def test_another_users_process_gets_no_answer(quick, monkeypatch):
    _, handle, _ = quick
    monkeypatch.setattr(direct_wire.os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(ActorUnavailableError):
        await asyncio.wait_for(handle.double.remote(1), 5)


async def test_all_who_ask_at_once_are_told_one_address_that_answers():
    listener = Listener(Quick(), METHODS)
    told = await asyncio.gather(*(listener.address() for _ in range(5)))
    assert len(set(told)) == 1
    line = Line("router-0", told[0])
    assert await DirectHandle(None, line).double.remote(1) == 2
    line.close()
    listener._server.close()
    await asyncio.sleep(0)


def test_messages_in_pieces_are_put_together():
    sent = framed(Answer(b"first")) + framed(Request("search", (1,), {"of": 2}))
    frames = Frames()
    found = [m for at in range(len(sent)) for m in frames.add(sent[at : at + 1])]
    assert found == [Answer(b"first"), Request("search", (1,), {"of": 2})]


def test_a_gateways_searches_go_past_ray(shoal, folder):
    shoal.wait(shoal.index([str(folder)], collection="direct"))
    assert shoal.search("evict", collections=["direct"]).hits

    def names():
        known = Path("/proc/net/unix").read_text().splitlines()
        return {line.split()[-1] for line in known if "@shoal-" in line}

    until(lambda: len(names()) >= 2)  # a router and a host
