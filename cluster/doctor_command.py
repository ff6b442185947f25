"""`shoal doctor`: what is wrong or will be, on this machine and in the cluster, and the way out.

It starts nothing: without a gateway it checks what it can from here, and says what it could not.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import typer
from rich.text import Text

from actors.errors import ShoalError
from cluster import daemon
from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings
from cluster.upkeep_protocol import Check, Diagnosis, Severity

HERE = "here"
_GATEWAY = "gateway"
_HEAD_S = 3.0
_STYLES: dict[Severity, str] = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "red"}
_GRAVEST_FIRST: tuple[Severity, ...] = ("error", "warning", "note", "ok")


@with_settings
def doctor(settings: Settings, as_json: AsJson = False) -> None:
    """Look for what is wrong, here and in the cluster; fail where something is."""
    from cluster import console  # noqa: PLC0415

    with console.phases() as on_phase:
        on_phase("examining this machine and the cluster")
        found = examined(settings)
    healthy = not any(check.severity == "error" for check in found.checks)
    if as_json:
        print_json({"healthy": healthy, **found.model_dump(mode="json")})
    else:
        _show(found)
    if not healthy:
        raise typer.Exit(1)


def examined(settings: Settings) -> Diagnosis:
    """Examine this machine, and the cluster through its gateway where one runs."""
    from actors.examining.machine import watchable_folders  # noqa: PLC0415
    from cluster.exposure import of_settings  # noqa: PLC0415
    from cluster.judging import of_watching  # noqa: PLC0415

    ours = [*of_settings(settings, HERE), *of_watching(watchable_folders(), HERE)]
    running = None if settings.url else daemon.find(settings)
    if not settings.url and running is None:
        return _without_gateway(settings, ours)
    phase = daemon.phase_of(running) if running else "ready"
    if phase != "ready":
        return _behind(ours, f"it runs and does not serve: {phase or 'no answer'}", settings)
    try:
        with client(settings) as shoal:
            theirs = shoal.doctor()
    except ShoalError as error:
        return _behind(ours, str(error), settings)
    checks = (*ours, *_compared(theirs), *theirs.checks)
    return theirs.model_copy(update={"checks": checks})


def _without_gateway(settings: Settings, ours: list[Check]) -> Diagnosis:
    from actors.examining.storing import try_storage  # noqa: PLC0415
    from cluster.exposure import of_ray_token  # noqa: PLC0415
    from cluster.judging import of_storage  # noqa: PLC0415

    ours += _of_this_machine(settings)
    ours += of_storage(try_storage(settings.root_uri), HERE, settings.root_uri)
    if settings.ray_address:
        ours += [*of_ray_token(HERE), *_of_head(settings.ray_address)]
    why = f"no gateway runs for {settings.root_uri}; `shoal up` starts one"
    return Diagnosis(checks=tuple(ours), unchecked=(f"actors, and nodes of the cluster: {why}",))


def _behind(ours: list[Check], what: str, settings: Settings) -> Diagnosis:
    """Return what is known where a gateway does not tell more."""
    from cluster.judging import found  # noqa: PLC0415

    if settings.url:
        way_out = "check the address, the token (of scope admin) and that the gateway is up"
    else:
        way_out = (
            "`shoal down`, then `shoal up`; its log is gateway.log in the folder that holds it"
        )
    ours.append(found(_GATEWAY, settings.url or HERE, "error", what, way_out))
    why = "the gateway did not tell"
    return Diagnosis(checks=tuple(ours), unchecked=(f"actors, and nodes of the cluster: {why}",))


def _of_this_machine(settings: Settings) -> Iterator[Check]:
    from actors.examining.machine import look_at_this_machine  # noqa: PLC0415
    from cluster.judging import of_machine  # noqa: PLC0415

    own_ray = 0 if settings.ray_address else settings.object_store_bytes
    yield from of_machine(look_at_this_machine(settings.root_uri), HERE, own_ray)


def _of_head(address: str) -> Iterator[Check]:
    """Judge whether the Ray that is to be attached to can be reached."""
    from cluster.judging import found  # noqa: PLC0415

    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_HEAD_S).close()
    except OSError as error:
        way_out = "start Ray there, open the port, or correct SHOAL_RAY_ADDRESS"
        what = f"no Ray head answers at {address}: {error}"
        yield found("ports", HERE, "error", what, way_out)
    else:
        yield found("ports", HERE, "ok", f"a Ray head listens at {address}")


def _compared(theirs: Diagnosis) -> Iterator[Check]:
    """Compare this client with the gateway."""
    from actors.examining.machine import versions  # noqa: PLC0415
    from cluster.judging import found, of_clock  # noqa: PLC0415

    here, there = versions().get("shoal", "none"), theirs.versions.get("shoal", "none")
    what = f"this client is shoal {here}, its gateway {there}"
    way_out = "install the gateway's version here: a newer client may ask what it does not know"
    yield found("versions", HERE, "ok" if here == there else "warning", what, way_out)
    yield of_clock(theirs.clock - time.time(), _GATEWAY, "by this machine's clock, that one")


def _show(diagnosis: Diagnosis) -> None:
    from cluster import console  # noqa: PLC0415

    for severity in _GRAVEST_FIRST:
        for check in (c for c in diagnosis.checks if c.severity == severity):
            line = Text(f"{severity:8}", _STYLES[severity])
            line.append(f"{check.area}, {check.where}: {check.what}", "default")
            console.out.print(line)
            if check.way_out:
                console.out.print(f"        -> {check.way_out}", markup=False)
    for what in diagnosis.unchecked:
        console.out.print(Text(f"{'not':8}", "yellow").append(f"checked: {what}", "default"))
