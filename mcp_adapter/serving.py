"""Running the gateway: a socket, the application, an end when nobody needs it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
import psutil
import uvicorn

from actors.errors import GatewayUnavailable, InvalidRequest
from cluster.daemon import Endpoint, Rooms, Running
from cluster.roots import Roots
from cluster.service import Service
from cluster.settings import Settings
from mcp_adapter.app import create_app
from mcp_adapter.door import Guard
from mcp_adapter.hosts import Hosts
from mcp_adapter.rates import Rates
from mcp_adapter.scopes import Keys

_log = logging.getLogger("shoal.serving")

_GRACEFUL_S = 5
_KEEP_ALIVE_S = 30
"""Longer than clients keep an idle connection (5 s): one that both end at once loses a request."""
_LOOPBACK = (None, "127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: a TCP address, or the machine's private socket where host is None."""

    host: str | None = None
    port: int = 8750

    @property
    def is_public(self) -> bool:
        """Whether others than this machine's users may come to it."""
        return self.host not in _LOOPBACK


def serve(settings: Settings, address: Address) -> None:
    """Run a gateway until it is ended or has been idle for `idle_shutdown_s` seconds.

    Raises:
        GatewayUnavailable: Another one serves this root.
        InvalidRequest: Others could reach it, and no token was chosen.
    """
    running = Rooms(settings).read()
    if running:
        message = f"gateway {running.pid} serves this root already; `shoal down` ends it"
        raise GatewayUnavailable(message)
    tokens = settings.token.get_secret_value() or settings.tokens.get_secret_value()
    if address.is_public and not tokens:
        message = f"to listen at {address.host}, set SHOAL_TOKEN to a secret of your choice"
        raise InvalidRequest(message)
    gateway = _Gateway(settings, address)
    with asyncio.Runner(loop_factory=gateway.loop_factory) as runner:
        runner.run(gateway.run())


class _Server(uvicorn.Server):
    """Tells when it listens, so that nobody is sent to a socket that is not there yet."""

    def __init__(self, on_listening: Callable[[], None], config: uvicorn.Config) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()


class _Gateway:
    def __init__(self, settings: Settings, address: Address) -> None:
        self._settings = settings
        self._rooms = Rooms(settings)
        self._roots = Roots.of(settings.index_roots, is_private=not address.is_public)
        self._service = Service(settings, self._roots)
        token = settings.token.get_secret_value() or secrets.token_urlsafe(32)
        self._endpoint = _endpoint(address, self._rooms, token)
        self._guard = (
            Guard(Keys(token, settings.tokens.get_secret_value()))
            if self._endpoint.socket
            else guard_over_tcp(settings, address.host or "localhost", token)
        )
        app = create_app(self._service, self._guard, self._end)
        self._server = _Server(
            self._announce,
            uvicorn.Config(
                app,
                host=address.host or "127.0.0.1",
                port=httpx2.URL(self._endpoint.url).port or 0,
                uds=self._endpoint.socket,
                log_config=None,
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACEFUL_S,
            ),
        )

    @property
    def loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """What makes the event loop: uvloop's, where there is one for this system."""
        return self._server.config.get_loop_factory()

    async def run(self) -> None:
        watching = asyncio.create_task(self._end_when_idle())
        try:
            await self._server.serve()
        finally:
            watching.cancel()
            self._withdraw()

    def _announce(self) -> None:
        me = psutil.Process()
        running = Running(me.pid, me.create_time(), self._settings.model, self._endpoint)
        self._rooms.write(running)
        _log.info("gateway %d listens at %s", me.pid, self._endpoint.socket or self._endpoint.url)
        _log.info(
            "tokens: %s; %s; may be indexed: %s",
            self._guard.keys,
            self._guard.hosts or "no hosts or origins are checked on a socket",
            self._roots,
        )

    def _withdraw(self) -> None:
        mine = self._rooms.read()
        if mine and mine.pid == os.getpid():
            for file in (self._rooms.state, self._rooms.socket):
                with contextlib.suppress(OSError):
                    file.unlink()

    def _end(self) -> None:
        self._server.should_exit = True

    async def _end_when_idle(self) -> None:
        limit_s = self._settings.idle_shutdown_s
        if not limit_s:
            return
        while (left_s := limit_s - self._service.idle_s) > 0:  # noqa: ASYNC110 - no event, a clock
            await asyncio.sleep(left_s)
        _log.info("idle for %.0f s: ending", limit_s)
        self._end()


def _endpoint(address: Address, rooms: Rooms, token: str) -> Endpoint:
    """Return where the gateway will answer."""
    if address.host is None and hasattr(os, "getuid"):
        rooms.socket.unlink(missing_ok=True)
        return Endpoint("http://shoal", token, str(rooms.socket))
    host = address.host or "127.0.0.1"
    return Endpoint(f"http://{host}:{address.port or _free_port(host)}", token)


def guard_over_tcp(settings: Settings, host: str, token: str) -> Guard:
    """Return what requests over TCP are held against, behind a socket they need but a token.

    Args:
        settings: The gateway's.
        host: Where it listens.
        token: The token that may do everything.
    """
    keys = Keys(token, settings.tokens.get_secret_value())
    hosts = Hosts.of(host, settings.allowed_hosts, settings.allowed_origins)
    return Guard(keys, hosts, Rates(settings.rate_limit) if settings.rate_limit else None)


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
