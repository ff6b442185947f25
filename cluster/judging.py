"""What the state of a machine means: findings with severity and way out. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from actors.examining.enforcing import EnforcementTrial, Outcome
from actors.examining.machine import UNLIMITED, Disk, Machine
from actors.examining.reports import Examined
from actors.examining.storing import StorageTrial
from cluster.upkeep_protocol import Check, Severity

_MIB = 1 << 20
_GIB = 1 << 30
_FEW_FILES, _TOO_FEW_FILES = 4096, 512
"""Open files: Ray's processes hold some hundred each, a host several for each segment."""
_LITTLE_MEMORY = _GIB
_LITTLE_DISK, _NO_DISK = 2 * _GIB, 256 * _MIB
_FEW_WATCHES = 65_536
"""A folder takes one: a large monorepo has some ten thousand folders, and editors watch too."""
_SKEW_S, _FAR_SKEW_S = 5.0, 120.0
"""Leases last 15 minutes and are renewed every 5: minutes between clocks use up what is left."""
_SLOW_STORAGE_S = 5.0
_SAME_EVERYWHERE = ("shoal", "ray")
"""Versions that differ here break what machines say to each other; of others, what they answer."""
_ALIKE = ("pylance", "faiss-cpu", "numpy", "pyarrow", "onnxruntime", "tokenizers")
_BETTER_LIMITS = (
    "let Shoal make control groups: run it as root, or in a delegated one (Delegate=yes in systemd)"
)


def found(area: str, where: str, severity: Severity, what: str, way_out: str = "") -> Check:
    """Return a finding; what is as it should be needs no way out."""
    way_out = "" if severity == "ok" else way_out
    return Check(area=area, where=where, severity=severity, what=what, way_out=way_out)


def of_machine(machine: Machine, where: str, object_store_bytes: int = 0) -> Iterator[Check]:
    """Judge what a machine is and has.

    Args:
        machine: As one of its processes found it.
        where: What it is called.
        object_store_bytes: What Ray's shared memory is to hold there; 0 for none.
    """
    versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    told = f"{machine.system}, Python {machine.python}, {versions}"
    yield found("versions", where, "ok", told)
    yield _files(machine.open_files, where)
    yield _memory(machine, where)
    yield _enforcement(machine.enforcement, where)
    if machine.data_bytes != UNLIMITED:
        what = f"RLIMIT_DATA is {_size(machine.data_bytes)} for processes that start here"
        yield found(
            "limits", where, "note", what, "unless it is meant, lift it: `ulimit -d unlimited`"
        )
    if object_store_bytes and machine.shared_memory:
        yield _shared_memory(machine.shared_memory, where, object_store_bytes)
    yield from (_disk(disk, where) for disk in machine.disks)


def of_watching(folders: int, where: str) -> Iterator[Check]:
    """Judge whether large trees can be watched from a machine, by how many folders may be."""
    if folders:
        severity: Severity = "warning" if folders < _FEW_WATCHES else "ok"
        what = f"a user may watch {folders} folders (fs.inotify.max_user_watches)"
        way_out = (
            "for `shoal watch` of large trees: `sysctl fs.inotify.max_user_watches=524288`, or "
            "WATCHFILES_FORCE_POLLING=1"
        )
        yield found("watching", where, severity, what, way_out)


def of_storage(trial: StorageTrial, where: str, root: str) -> Iterator[Check]:
    """Judge whether a root does what it has to, from one machine."""
    if trial.problem:
        yield found("storage", where, "error", trial.problem, _storage_way_out(root))
        return
    what = (
        f"{root}: written, kept from being overwritten, read, listed and deleted in "
        f"{trial.took_s:.2f} s"
    )
    slow = "slow publications and slow first searches; look for storage nearer by"
    yield found("storage", where, "warning" if trial.took_s > _SLOW_STORAGE_S else "ok", what, slow)
    yield of_clock(trial.ahead_s, where, f"the clock of {root}")


def of_clock(ahead_s: float, where: str, whose: str) -> Check:
    """Judge by how much a clock is ahead of another."""
    apart = abs(ahead_s)
    severity: Severity = "ok" if apart < _SKEW_S else "warning"
    if apart >= _FAR_SKEW_S:
        severity = "error"
    what = f"{whose} is {apart:.2f} s {'ahead' if ahead_s > 0 else 'behind'}"
    way_out = "have both follow NTP (chrony, timesyncd): leases and clean-up go by the time"
    return found("clock", where, severity, what, way_out)


def of_node(examined: Examined, root: str, object_store_bytes: int) -> Iterator[Check]:
    """Judge all that is known of a node of the cluster."""
    where, report = examined.address, examined.report
    if report is None:
        what = f"no task runs there: {examined.problem}"
        way_out = "look at Ray's logs there (raylet.out, worker-*.err), or start Ray there again"
        yield found("nodes", where, "error", what, way_out)
        return
    yield from of_machine(report.machine, where, object_store_bytes)
    yield from of_storage(report.storage, where, root)
    yield of_clock(examined.ahead_s, where, "by the gateway's clock, this one")
    yield _transfer(examined.fetch_s, where)


def of_versions(
    ours: Mapping[str, str], others: Mapping[str, Mapping[str, str]], whose: str
) -> Iterator[Check]:
    """Judge whether machines run the same.

    Args:
        ours: Package → version, "python" among them, of the machine that counts.
        others: Machine → the same of it.
        whose: What the machine that counts is called.
    """
    for where, theirs in others.items():
        for name in ("python", *_SAME_EVERYWHERE, *_ALIKE):
            here, there = ours.get(name, "none"), theirs.get(name, "none")
            if here != there:
                grave = name in _SAME_EVERYWHERE or _other_python(name, here, there)
                what = f"{name} is {there}, and {here} on {whose}"
                way_out = "install the same requirements.lock, or image, on both"
                yield found("versions", where, "error" if grave else "warning", what, way_out)


def _other_python(name: str, here: str, there: str) -> bool:
    """Tell whether these are interpreters that do not understand each other's pickles."""
    return name == "python" and here.rpartition(".")[0] != there.rpartition(".")[0]


def _files(count: int, where: str) -> Check:
    if count == UNLIMITED or count >= _FEW_FILES:
        number = "any number of" if count == UNLIMITED else count
        return found("limits", where, "ok", f"a process may hold {number} files open")
    severity: Severity = "error" if count < _TOO_FEW_FILES else "warning"
    way_out = "`ulimit -n 65536` before Shoal or Ray is started; LimitNOFILE= in a systemd unit"
    return found("limits", where, severity, f"a process may hold {count} files open", way_out)


def _memory(machine: Machine, where: str) -> Check:
    free, total = _size(machine.memory_available), _size(machine.memory_total)
    what = f"{free} of {total} ({machine.memory_source}) are free, {machine.cores} core(s)"
    way_out = (
        "end something else, or take fewer actors (`shoal scale`): what does not fit is refused"
    )
    severity: Severity = "warning" if machine.memory_available < _LITTLE_MEMORY else "ok"
    return found("memory", where, severity, what, way_out)


def _enforcement(trial: EnforcementTrial, where: str) -> Check:
    severity, what = _of_trial(trial)
    return found("enforcement", where, severity, what, _BETTER_LIMITS)


def _of_trial(trial: EnforcementTrial) -> tuple[Severity, str]:
    if trial.outcome is Outcome.UNKNOWN:
        return "warning", "what holds processes to their limits could not be tried"
    if not trial.by:
        return (
            "warning",
            "no limit of the kernel's can be set: the watchdog alone ends what is over",
        )
    if trial.outcome is Outcome.ALLOWED:
        return (
            "error",
            f"a process took four times its limit under {trial.by}, and nothing happened",
        )
    became = "was ended" if trial.outcome is Outcome.ENDED else "was refused the memory"
    what = f"{trial.by} holds: a process that took four times its limit {became}"
    if trial.by.startswith("cgroup"):
        return "ok", f"{what}; a watchdog is beside it"
    return "note", f"{what}; children and mapped files are left to the watchdog"


def _shared_memory(disk: Disk, where: str, wanted: int) -> Check:
    what = f"{disk.path} has {_size(disk.total)}; Ray's objects may take {_size(wanted)}"
    way_out = (
        "give the container more (--shm-size, or a Memory emptyDir), or lower "
        "SHOAL_OBJECT_STORE_BYTES; meanwhile Ray uses the disk, which is slower"
    )
    return found("limits", where, "warning" if disk.total < wanted else "ok", what, way_out)


def _disk(disk: Disk, where: str) -> Check:
    severity: Severity = "ok" if disk.free >= _LITTLE_DISK else "warning"
    if disk.free < _NO_DISK:
        severity = "error"
    what = f"{_size(disk.free)} of {_size(disk.total)} are free for {disk.purpose} ({disk.path})"
    return found("disk", where, severity, what, "free some, or move it to a larger disk")


def _transfer(fetch_s: float | None, where: str) -> Check:
    if fetch_s is not None:
        return found(
            "ports", where, "ok", f"an object of 1 MiB came over in {fetch_s * 1e3:.0f} ms"
        )
    way_out = (
        "open, between all nodes, the ports that `ray start` was given: --object-manager-port, "
        "--node-manager-port, --min-worker-port to --max-worker-port"
    )
    what = "tasks answer, and objects do not come: Ray's object manager cannot be reached"
    return found("ports", where, "error", what, way_out)


def _storage_way_out(root: str) -> str:
    if "://" in root:
        return (
            "check the credentials in that machine's environment, the endpoint and the bucket's "
            "policy; the store has to support conditional writes (If-None-Match)"
        )
    return (
        f"mount {root} there at the same path, writable for this user; or take an object store as "
        "the root"
    )


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB else f"{count / _MIB:.0f} MiB"
