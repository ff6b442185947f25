"""`shoal plan`: who runs on which machine of the cluster, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster.settings import Settings
from cluster.shell import AsJson, client, print_json, with_settings

if TYPE_CHECKING:
    from rich.console import Console

    from cluster.topology import Plan

_MIB = 1 << 20
_SHORT = 8
"""Of a node's id: as many characters as tell it from others, and `shoal status` shows."""


@with_settings
def plan(settings: Settings, as_json: AsJson = False) -> None:
    """Show which actors belong on which machine, with what memory, and why."""
    from cluster import console  # noqa: PLC0415

    with client(settings) as shoal:
        found = shoal.plan()
    if as_json:
        print_json(found.model_dump(mode="json"))
    else:
        show_plan(found, console.out)


def show_plan(plan: Plan, out: Console) -> None:
    """Print the machines, then each actor with the reason of its place, then what has none."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    headings = ("node", "address", "CPUs", "GPUs", "MiB", "for actors", "planned", "")
    machines = Table(*headings, box=None, pad_edge=False)
    for node in plan.nodes:
        planned = sum(actor.limit_bytes for actor in plan.actors if actor.node == node.id)
        sizes = (node.total_bytes, node.room_bytes, planned)
        what = "head" if node.is_head else ", ".join(f"{k}={v}" for k, v in node.labels.items())
        machines.add_row(
            node.id[:_SHORT],
            Text(node.address),
            f"{node.cpus:g}",
            f"{node.gpus:g}",
            *(str(size // _MIB) for size in sizes),
            Text(what),
        )
    out.print(machines)
    out.print()
    actors = Table("actor", "node", "now", "MiB", "why", box=None, pad_edge=False)
    for actor in plan.actors:
        now = "" if actor.now == actor.node else actor.now[:_SHORT] or "-"
        why = f"{actor.model}: {actor.reason}" if actor.model else actor.reason
        limit = str(actor.limit_bytes // _MIB)
        actors.add_row(Text(actor.name), actor.node[:_SHORT] or "-", now, limit, Text(why))
    out.print(actors)
    for note in plan.notes:
        out.print(Text(note, "yellow"))
