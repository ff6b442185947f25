"""The `shoal` command: the composition root, and the one file that may reach up to mcp_adapter."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.settings import Settings


def main() -> None:
    """Run the command line.

    Hosts start `shoal mcp` at the beginning of every session, so it does not wait for what the
    other commands need.
    """
    if sys.argv[1:] == ["mcp"]:
        mcp()
        return
    from cluster.commands import run  # noqa: PLC0415

    sys.exit(run())


def mcp(settings: Settings | None = None) -> None:
    """Serve MCP over stdio; None reads the settings once they are needed."""
    from mcp_adapter.stdio import run  # noqa: PLC0415

    run(settings)


def serve(settings: Settings, host: str | None, port: int) -> None:
    """Run the gateway, over TCP where a host is given."""
    from cluster.daemon import Rooms, ray_environment  # noqa: PLC0415

    _lift_data_limit()
    os.environ.update(ray_environment(settings))  # Ray reads it when it is imported, just below
    _begin_watching(settings)
    os.chdir(Rooms(settings).working_folder)
    from mcp_adapter.serving import Address  # noqa: PLC0415
    from mcp_adapter.serving import serve as run  # noqa: PLC0415

    run(settings, Address(host, port))


def _begin_watching(settings: Settings) -> None:
    """Have the gateway log as its settings say, or more where --debug asked for it; and trace."""
    from actors.logs import LOGGER, begin_logging  # noqa: PLC0415
    from actors.spans import begin_tracing  # noqa: PLC0415

    wanted = logging.getLevelNamesMapping()[settings.log_level.upper()]
    debugging = logging.getLogger(LOGGER).isEnabledFor(logging.DEBUG)
    begin_logging("gateway", settings.log_format, logging.DEBUG if debugging else wanted)
    begin_tracing("gateway", {**os.environ, "SHOAL_TRACING": str(settings.tracing)})


def _lift_data_limit() -> None:
    """Lift the soft limit that a client's start script set for itself; its child inherits it."""
    try:
        import resource  # noqa: PLC0415
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
