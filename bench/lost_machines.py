"""What a client sees while a cluster of machines loses one, a cable, its head; and gains a machine.

The machines are namespaces (tests/machines), made into a cluster by `ray up`; it takes root.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import report
from users import BOUND_S, Users

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "machines"))

from launcher import DOWN, GATEWAY, UP, Launcher
from machines import OUTSIDE, Machine, Machines, why_not

from actors.errors import ShoalError
from cluster.client import ShoalClient

_LOST_S = 20.0
"""Before a machine or a cable comes back: what ran there has been given up by then."""
_HEALED_S = 15.0
_HEAD_AWAY_S = 15.0
_WRITING_S = 6.0
_REDIS = f"{OUTSIDE}:6399"
_NODE = "bash ~/.shoal/bundle/node.sh"
_ACTORS = "ray::ShardHost", "ray::Router", "ray::Embedder", "ray::Steward"


class Cluster:
    """A cluster of machines, who manages it, and who uses it."""

    def __init__(self, machines: Machines, launcher: Launcher) -> None:
        self.machines = machines
        self.launcher = launcher
        self.users = Users(self.client)

    @property
    def head(self) -> Machine:
        """The machine with the gateway."""
        return self.machines.all[0]

    @property
    def worker(self) -> Machine:
        """Another."""
        return self.machines.all[1]

    def client(self) -> ShoalClient:
        """Return a client of its gateway."""
        return ShoalClient(GATEWAY, token=self.launcher.token)

    def up(self) -> float:
        """Bring it up, and return the seconds that took."""
        began = time.monotonic()
        self.launcher.run(UP)
        return _since(began)

    def wait_for(self, machines: int) -> None:
        """Wait until so many machines have joined."""
        give_up = time.monotonic() + BOUND_S
        with self.client() as shoal:
            while self._nodes(shoal) != machines:
                if time.monotonic() > give_up:
                    sys.exit(f"there are not {machines} machines")
                time.sleep(0.5)

    def wait_until_spread(self) -> int:
        """Wait until the worker has a shard host, and return how many actors it has by then."""
        give_up = time.monotonic() + BOUND_S
        while not any("ShardHost" in line for line in self.worker.processes()):
            if time.monotonic() > give_up:
                sys.exit("no shard host moves to the worker")
            time.sleep(0.5)
        return len(_actors_on(self.worker))

    def _nodes(self, shoal: ShoalClient) -> int:
        try:
            return shoal.status().nodes
        except ShoalError:
            return 0


def _lose(
    cluster: Cluster, event: Callable[[], object], mend: Callable[[], object]
) -> dict[str, Any]:
    """Have something happen under load, have it mended, and tell what was seen."""
    actors = cluster.wait_until_spread()
    with cluster.users.at_work() as load:
        at = time.monotonic()
        event()
        full_again_s = round(load.full_since(at) - at, 1)
        mended_at = time.monotonic()
        mend()
        load.full_since(time.monotonic())
    return {
        "actors_on_the_worker": actors,
        "full_again_s": full_again_s,
        "mended_s": round(mended_at - at, 1),
        **load.figures(at),
        **cluster.users.accounts(load),
    }


def lose_worker(cluster: Cluster) -> dict[str, Any]:
    """Cut a worker's power; it boots again once the others serve all, and Ray brings it in."""

    def boot() -> None:
        cluster.worker.switch_on()
        cluster.wait_for(2)

    def cut() -> None:
        cluster.worker.cut_power()
        time.sleep(_LOST_S)

    return _lose(cluster, cut, boot)


def cut_cable(cluster: Cluster) -> dict[str, Any]:
    """Pull a worker's cable, and put it back while what ran there may still run."""

    def cut() -> None:
        cluster.worker.unplug()
        time.sleep(_LOST_S)

    def heal() -> None:
        cluster.worker.plug_in()
        time.sleep(_HEALED_S)
        cluster.wait_for(2)

    return _lose(cluster, cut, heal)


def lose_head(cluster: Cluster) -> dict[str, Any]:
    """Cut the head's power, and boot it after a while; Redis has kept Ray's state."""
    cluster.wait_until_spread()
    before = _actors_on(cluster.worker)

    def away() -> None:
        cluster.head.cut_power()
        time.sleep(_HEAD_AWAY_S)
        cluster.head.switch_on()
        cluster.head.run(f"{_NODE} restart")

    seen = _lose(cluster, away, lambda: None)
    outlived = len(_actors_on(cluster.worker) & before)
    return {**seen, "head_away_s": _HEAD_AWAY_S, "actors_that_outlived_it": outlived}


def join(cluster: Cluster) -> dict[str, Any]:
    """Have a third machine join, and a host more that it can run."""
    with cluster.users.at_work() as load, cluster.client() as shoal:
        at = time.monotonic()
        third = cluster.machines.add()
        bring_in(cluster, third)
        cluster.wait_for(3)
        joined_at = time.monotonic()
        shoal.scale(hosts=shoal.status().scale.hosts + 1)
        moved_s = _since(joined_at)
        load.full_since(time.monotonic())
    return {
        "install_and_join_s": round(joined_at - at, 1),
        "shards_moved_s": moved_s,
        "actors_on_it": len(_actors_on(third)),
        **load.figures(at),
        **cluster.users.accounts(load),
    }


def bring_in(cluster: Cluster, machine: Machine) -> None:
    """Make a machine one of the cluster's, as docs/cluster.md has it."""
    shutil.copytree(cluster.launcher.checkout / "build/cluster", machine.home / ".shoal")
    settings = (cluster.worker.home / ".shoal/settings.sh").read_text()
    machine.run(f"{_NODE} install {settings.replace('export ', '').replace(chr(10), ' ')}")
    machine.run(f"{_NODE} ray start --address={cluster.head.address}:6379")


def cycles(cluster: Cluster, count: int) -> dict[str, Any]:
    """Up, write, cut all power while writing, boot, up; again and again."""
    ups: list[float] = []
    kept: set[int] = set()
    lost = twice = 0
    for number in range(count):
        with cluster.users.writing(first=1000 * number) as load:
            time.sleep(_WRITING_S)
            for machine in cluster.machines.all:
                machine.cut_power()
        kept |= load.acknowledged
        for machine in cluster.machines.all:
            machine.switch_on()
        ups.append(cluster.up())
        there = cluster.users.found(kept)
        lost += len(kept - set(there))
        twice += sum(times > 1 for times in there.values())
    counts = {"acknowledged": len(kept), "acknowledged_and_lost": lost, "there_twice": twice}
    return {"cycles": count, "up_s": ups, **counts}


def _since(moment: float) -> float:
    return round(time.monotonic() - moment, 1)


def _actors_on(machine: Machine) -> set[str]:
    """Return the actors' processes on a machine."""
    listed = machine.run("ps -eo pid,args").stdout.splitlines()
    return {line.split()[0] for line in listed if any(actor in line for actor in _ACTORS)}


@contextmanager
def _redis(folder: Path) -> Iterator[None]:
    host, _, port = _REDIS.rpartition(":")
    options = ["--bind", host, "--port", port, "--save", "", "--protected-mode", "no"]
    command = ["redis-server", *options, "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
        try:
            yield
        finally:
            redis.terminate()


def _keep_state_in_redis(launcher: Launcher) -> None:
    file = launcher.checkout / "cluster" / "local.yaml"
    last = "RAY_enable_autoscaler_v2=0\n"
    before, found, after = file.read_text().partition(last)
    if not found:
        sys.exit(f"{file.name} has no line {last!r} to put another behind")
    file.write_text(f"{before}{last}      RAY_REDIS_ADDRESS={_REDIS}\n{after}")


def _earlier(out: Path) -> dict[str, Any]:
    """Return the figures of cases that are not run again."""
    if not out.exists():
        return {}
    kept: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return {name: figures for name, figures in kept.items() if name != "run"}


CASES: dict[str, Callable[[Cluster], dict[str, Any]]] = {
    "worker_lost": lose_worker,
    "cable_cut": cut_cable,
    "head_lost": lose_head,
    "machine_joins": join,
}


def main() -> None:
    """Run the cases that are asked for, one after the other, and write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, "cycles"], default=[*CASES, "cycles"])
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--out", type=Path, default=report.RESULTS / "lost_machines.json")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    folder = Path(tempfile.mkdtemp(prefix="shoal-m-"))
    figures = _earlier(options.out)
    try:
        with Machines(folder, count=2) as machines, _redis(folder):
            cluster = Cluster(machines, Launcher(folder))
            _keep_state_in_redis(cluster.launcher)
            cluster.launcher.run("make bundle")
            figures["first_up_s"] = cluster.up()
            cluster.users.begin()
            for name in options.cases:
                run = CASES.get(name) or (lambda it: cycles(it, options.cycles))
                figures[name] = {"date": datetime.now(UTC).isoformat(), **run(cluster)}
                print(name, figures[name], flush=True)
                report.write(options.out, figures)
            began = time.monotonic()
            cluster.launcher.run(DOWN)
            while not machines.are_idle():
                time.sleep(0.5)
            figures["down_and_nothing_left_s"] = _since(began)
            report.write(options.out, figures)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
