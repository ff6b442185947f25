"""The gateway's application as a deployment on Ray Serve.

    serve run mcp_adapter.deployment:application root=s3://bucket/shoal gateways=2

Each replica is a gateway, as `shoal serve` runs one, in a process of the cluster that it serves. It
counts as ready once it answers and hosts have opened what they are to serve.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Mapping
from typing import Any

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from starlette.types import ASGIApp, Receive, Scope, Send

from actors.errors import Forbidden, GatewayUnavailable, InvalidRequest
from actors.logs import begin_logging
from actors.spans import begin_tracing
from cluster.roots import Roots
from cluster.service import Service
from cluster.settings import Settings
from mcp_adapter.app import create_app
from mcp_adapter.http import SESSIONS, STATELESS
from mcp_adapter.serving import guard_over_tcp

_log = logging.getLogger("shoal.deployment")

_AT_ONCE = 1024
"""Requests in a replica, as far as Serve counts: the gateway itself turns away what is too many."""
_LOOK_S = 0.05
_SECRETS = ("token", "tokens")
_OF_OTHERS = ("url", "ray_address", "idle_shutdown_s")
"""Settings that say nothing here: of clients, and of gateways that start or end by themselves."""


class DeploymentSettings(Settings):
    """Settings of a gateway on Ray Serve: arguments of the application, or `SHOAL_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="SHOAL_", extra="forbid", frozen=True)

    gateways: int = Field(1, ge=1, le=256, description="Replicas of the deployment")
    open_within_s: float = Field(
        60.0,
        ge=0,
        description="Seconds that a replica waits for hosts to open what they are to serve, before "
        "it counts as ready all the same",
    )


def application(args: dict[str, Any]) -> Any:  # noqa: ANN401 - Serve's, which is not typed
    """Build the application; Ray Serve calls this with the arguments that it was given.

    Raises:
        InvalidRequest: One of them is not known.
        ValidationError: One of them has a value that cannot be.
    """
    from ray import serve  # noqa: PLC0415 - takes shoal[cluster]

    settings = settings_of(args)
    deployment = serve.deployment(
        serve.ingress()(Gateway),
        name="gateway",
        num_replicas=settings.gateways,
        max_ongoing_requests=_AT_ONCE,
        ray_actor_options={"num_cpus": 0},  # as all actors here: processors are for jobs
    )
    return deployment.bind(settings)


def settings_of(args: Mapping[str, Any]) -> DeploymentSettings:
    """Return the settings that arguments and the environment make, but for the tokens.

    Ray Serve stores what it binds to a deployment, so that tokens stay in the environment of the
    replicas.

    Raises:
        InvalidRequest: An argument is not known.
        ValidationError: A value cannot be.
    """
    known = DeploymentSettings.model_fields.keys() - {*_SECRETS, *_OF_OTHERS}
    unknown = sorted(args.keys() - known)
    if unknown:
        message = (
            f"the application has no argument {', '.join(unknown)}; it takes "
            f"{', '.join(sorted(known))}; tokens are taken from SHOAL_TOKEN and SHOAL_TOKENS in "
            "the environment of the replicas"
        )
        raise InvalidRequest(message)
    return _with_secrets(DeploymentSettings(**args), {})


def _with_secrets(
    settings: DeploymentSettings, environment: Mapping[str, str]
) -> DeploymentSettings:
    found = {name: SecretStr(environment.get(f"SHOAL_{name.upper()}", "")) for name in _SECRETS}
    return settings.model_copy(update=found)


class Gateway:
    """One replica: the application, ready when it serves.

    Args:
        bound: Its settings without tokens.

    Raises:
        InvalidRequest: Its environment has no token.
    """

    def __init__(self, bound: DeploymentSettings) -> None:
        self._settings = settings = _with_secrets(bound, os.environ)
        if not (settings.token.get_secret_value() or settings.tokens.get_secret_value()):
            message = (
                "set SHOAL_TOKEN to a secret of your choice in the environment of the replicas: "
                "that of their containers, or runtime_env's env_vars"
            )
            raise InvalidRequest(message)
        begin_logging("gateway", settings.log_format, _level(settings))
        begin_tracing("gateway", {**os.environ, "SHOAL_TRACING": str(settings.tracing)})
        roots = Roots.of(settings.index_roots, is_private=False)
        token = settings.token.get_secret_value() or secrets.token_urlsafe(32)
        guard = guard_over_tcp(settings, "localhost", token)
        _log.info("tokens: %s; %s; may be indexed: %s", guard.keys, guard.hosts, roots)
        self._service = Service(settings, roots)
        self._app = Sessionless(create_app(self._service, guard, self._end))
        self._opening: asyncio.Task[None] | None = None

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return what Serve is to run."""
        return self._app

    async def check_health(self) -> None:
        """Return once it is ready, and from then on at once; Serve waits for that first time.

        Raises:
            GatewayUnavailable: It could not be started, or does not serve any more.
        """
        self._opening = self._opening or asyncio.create_task(self._open())
        await asyncio.shield(self._opening)
        self._service.check_ready()

    async def _open(self) -> None:
        """Wait for the gateway to start, and for hosts to open what they are to serve.

        A damaged collection is left out by them. One that takes longer to open than replicas wait
        keeps the rest from being served no longer; its searches say what is missing.
        """
        service = self._service
        while service.phase not in ("ready", "failed"):  # noqa: ASYNC110 - no event, as in a probe
            await asyncio.sleep(_LOOK_S)
        if service.phase == "failed":
            message = f"the gateway could not be started: {service.problem}"
            raise GatewayUnavailable(message)
        if not await service.open_newest(self._settings.open_within_s):
            _log.warning(
                "ready, though not all hosts have opened what they serve within %g s; "
                "searches say what is missing",
                self._settings.open_within_s,
            )

    def _end(self) -> None:
        """Refuse to end: Serve would start another. After a failed start, Serve is told of it."""
        if self._service.phase != "failed":
            message = (
                "this gateway is a replica of Ray Serve, which would replace it; end the "
                "deployment instead, as with `serve shutdown`"
            )
            raise Forbidden(message)


class Sessionless:
    """Answers MCP without sessions: the next request of one may come to another replica.

    A prefix that Serve has the application under is taken off, too.

    Args:
        app: The gateway's application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
            scope = {**scope, "root_path": "", "path": STATELESS if path == SESSIONS else path}
        await self._app(scope, receive, send)


def _level(settings: Settings) -> int:
    return logging.getLevelNamesMapping()[settings.log_level.upper()]
