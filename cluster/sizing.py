"""What memory a pod of a Ray cluster needs: one formula for every group of the manifests in k8s/.

    kubectl kustomize k8s/overlays/cpu | python -m cluster.sizing

prints what it comes to, and ends with 1 where a container is smaller than that.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import typer
import yaml  # type: ignore[import-untyped] # comes with Ray

_MIB = 1 << 20
_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "": 1}

# What follows are proportional set sizes (MB) of processes on a head and a worker of Ray 2.60, the
# image's packages, right after a first search; a tenth to a quarter is added for what grows.
_NODE = 640 * _MIB
"""Ray's own processes on a worker: dashboard agent 116, runtime environment agent 50, log monitor
47, raylet 23, `ray start` 60, a process that waits for work 69, a Serve proxy 137."""
_HEAD = 1792 * _MIB
"""Those of the head: all of a worker's, the dashboard with its modules 417, GCS 51, Serve's
controller 137, the server of Ray's client 49, and a submitted job's driver, some 350."""
_TASK = 1216 * _MIB
"""A task that holds a core: 192 MiB of libraries, and the 1 GiB over it at which reading, merging
and verifying are capped."""
_WRITER = 512 * _MIB
"""A task that holds none, as those that write what a batch job has embedded."""
_HEADROOM = 0.1
"""Of the limit, for pages of files and what grows before it is measured. Ray begins to end tasks
and actors where 95% of a container is in use; a plan that comes near would have it end what keeps
within its budget."""
_STEP = 256 * _MIB
_ACTORS_SHARE = 0.75
"""Of a node, less the shared memory that is over 256 MiB: what Shoal itself plans for actors there,
as `actors.memory.plan_budgets` does."""
_ORDINARY_STORE = 256 * _MIB


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod of a group, as `ray start` is told of it; memory in bytes.

    Attributes:
        group: The group's name.
        limit: What its container may hold.
        actors: What Ray may give to actors there; each of them has a limit of its own.
        object_store: Ray's shared memory.
        cpus: How many tasks run at once.
        is_head: Whether it is the head.
    """

    group: str
    limit: int
    actors: int
    object_store: int
    cpus: int
    is_head: bool = False

    @property
    def tasks(self) -> int:
        """What tasks may hold together."""
        return self.cpus * _TASK + _WRITER

    @property
    def ray(self) -> int:
        """What Ray's own processes hold."""
        return _HEAD if self.is_head else _NODE

    @property
    def held(self) -> int:
        """What all of that comes to."""
        return self.actors + self.tasks + self.ray + self.object_store

    @property
    def needed(self) -> int:
        """The least limit, with headroom, in steps of 256 MiB."""
        planned = self.actors + max(0, self.object_store - _ORDINARY_STORE)
        least = max(self.held / (1 - _HEADROOM), planned / _ACTORS_SHARE)
        return math.ceil(least / _STEP) * _STEP


def pods_of(manifests: Iterable[Mapping[str, Any]]) -> Iterator[Pod]:
    """Yield a pod of every group of the Ray clusters in rendered manifests."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        cluster = spec.get("rayClusterConfig") or spec.get("rayClusterSpec")
        if manifest["kind"] == "RayCluster":
            cluster = spec
        if cluster:
            yield _pod("head", cluster["headGroupSpec"], is_head=True)
            for group in cluster.get("workerGroupSpecs", ()):
                yield _pod(group["groupName"], group)


def table(pods: Iterable[Pod]) -> str:
    """Return what pods need as a table in Markdown, in MiB."""
    lines = [
        "| pod | actors | tasks | Ray itself | shared memory | together | limit |",
        "|---|---|---|---|---|---|---|",
    ]
    for pod in pods:
        sizes = (pod.actors, pod.tasks, pod.ray, pod.object_store, pod.held, pod.needed)
        lines.append(f"| {pod.group} | {' | '.join(f'{size // _MIB:,}' for size in sizes)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read rendered manifests, and tell what their pods need."""
    pods = list(pods_of(filter(None, yaml.safe_load_all(sys.stdin))))
    typer.echo(table(pods), nl=False)
    small = [pod for pod in pods if pod.limit < pod.needed]
    for pod in small:
        typer.echo(
            f"error: {pod.group} has {pod.limit // _MIB} MiB and needs {pod.needed // _MIB}: raise "
            "its limit, or lower its `memory`, the shared memory or the cores that Ray is told of",
            err=True,
        )
    raise typer.Exit(1 if small else 0)


def _pod(name: str, group: Mapping[str, Any], *, is_head: bool = False) -> Pod:
    start = group["rayStartParams"]
    container = group["template"]["spec"]["containers"][0]
    return Pod(
        group=name,
        limit=_bytes(container["resources"]["limits"]["memory"]),
        actors=int(start["memory"]),
        object_store=int(start["object-store-memory"]),
        cpus=int(start["num-cpus"]),
        is_head=is_head,
    )


def _bytes(quantity: str) -> int:
    """Return the bytes of a quantity as Kubernetes writes it."""
    unit = quantity.lstrip("0123456789.")
    return int(float(quantity.removesuffix(unit)) * _UNITS[unit])


if __name__ == "__main__":
    typer.run(main)
