"""What every benchmark writes beside its figures, and the statistics they share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import actors.engines

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "bench" / "results"
PEER_PYTHON = REPOSITORY / ".venv-bench" / "bin" / "python"
MODEL = Path(actors.engines.__file__).parent / "builtin"
"""The static model that both sides embed with."""

MB = 1e6

_LOAD_BEFORE = [round(load, 2) for load in os.getloadavg()]
"""What else the machine was doing: the figures of a busy one are compared, never quoted alone."""

_OURS = (
    "shoal",
    "ray",
    "numpy",
    "pylance",
    "pyarrow",
    "tokenizers",
    "tree-sitter",
    "mcp",
    "onnxruntime",
    "xllamacpp",
)
_THEIRS = (
    "semble",
    "model2vec",
    "numpy",
    "tokenizers",
    "tree-sitter",
    "vicinity",
    "mcp",
    "fastembed",
    "onnxruntime",
    "bm25s",
    "numba",
)
_VERSIONS = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def write(out: Path, figures: dict[str, Any]) -> None:
    """Write figures with the facts of this run before them."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"run": _run(), **figures}, indent=1) + "\n", encoding="utf-8")
    print(f"wrote {out.name}")


def summary(values: Iterable[float]) -> dict[str, float]:
    """Return median, tail and number of milliseconds."""
    found = np.fromiter(values, np.float64)
    p50, p90, p99 = np.percentile(found, (50, 90, 99))
    return {"p50": _3(p50), "p90": _3(p90), "p99": _3(p99), "n": len(found)}


def median(values: Sequence[float]) -> float:
    """Return the median, to three decimals."""
    return _3(np.median(values))


def share(hit: Sequence[bool]) -> float:
    """Return how many are true, of all."""
    return _3(sum(hit) / len(hit))


def ratios(theirs: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """Return theirs over ours, pair by pair: above 1, Shoal is the faster."""
    pairs = [_3(t / o) for t, o in zip(theirs, ours, strict=True)]
    return {
        "pairs": pairs,
        "median": median(pairs),
        "of_medians": _3(median(theirs) / median(ours)),
    }


def differences(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Return ours less theirs, pair by pair: what Shoal costs on top."""
    pairs = [_3(o - t) for o, t in zip(ours, theirs, strict=True)]
    return {"pairs": pairs, "median": median(pairs)}


def require_peer() -> None:
    """End the program where the peers are not installed."""
    if not PEER_PYTHON.exists():
        sys.exit("no .venv-bench: run bench/run.sh, which makes it")


def _run() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_average_before": _LOAD_BEFORE,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "shoal_versions": _versions(_OURS),
        "semble_versions": _peer_versions(),
        "model": {"name": "builtin", "sha256": _digest(MODEL / "model.safetensors")},
    }


def _versions(names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):  # of an extra that is not installed
            found[name] = version(name)
    return found


def _peer_versions() -> dict[str, str]:
    if not PEER_PYTHON.exists():
        return {}
    asked = [PEER_PYTHON, "-c", _VERSIONS, *_THEIRS]
    found = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    versions: dict[str, str] = json.loads(found)
    return versions


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _3(value: float | np.floating[Any]) -> float:
    return round(float(value), 3)
