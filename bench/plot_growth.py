"""Draws results/growth.json as results/growth.svg; runs in .venv-bench, which has Matplotlib."""

import json
from pathlib import Path

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt  # after the choice of its backend

RESULTS = Path(__file__).parent / "results"
PANELS = (
    (
        "Milliseconds of one search",
        {"p50": ("one_by_one_ms", "p50"), "p99": ("one_by_one_ms", "p99")},
    ),
    ("Answers a second, 32 callers", {"all": ("together", "per_s")}),
    ("MB of the two hosts", {"at the end": ("hosts_pss_mb",), "at most": ("hosts_peak_mb",)}),
    ("Seconds to open", {"first answer": ("first_answer_s",), "indexes built": ("settled_s",)}),
)


def main() -> None:
    """Draw a panel for each figure, a line for each budget of the hosts."""
    sizes = json.loads((RESULTS / "growth.json").read_text(encoding="utf-8"))["sizes"]
    figure, panels = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    for axes, (title, lines) in zip(panels.flat, PANELS, strict=True):
        for budget in sorted({size["host_budget_mib"] for size in sizes}, reverse=True):
            found = [size for size in sizes if size["host_budget_mib"] == budget]
            for name, keys in lines.items():
                values = [_value(size, keys) for size in found]
                label = f"{name}, {budget} MiB a host"
                axes.plot([size["rows"] for size in found], values, "o-", label=label)
        axes.set(title=title, xscale="log", yscale="log", xlabel="vectors")
        axes.grid(which="both", alpha=0.2)
        axes.legend(fontsize="x-small")
    figure.savefig(RESULTS / "growth.svg", metadata={"Date": None})


def _value(size: dict, keys: tuple[str, ...]) -> float:
    value = size
    for key in keys:
        value = value[key]
    return sum(value) if isinstance(value, list) else value


if __name__ == "__main__":
    main()
