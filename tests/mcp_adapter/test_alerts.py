"""The alerts ask for what is exported, and the runbook has an entry for each, and for no other."""

import re
from pathlib import Path

import pytest
import yaml

DOCS = Path(__file__).resolve().parents[2] / "docs"
TABLE = (DOCS / "observability" / "README.md").read_text()
GROUPS = yaml.safe_load((DOCS / "observability" / "alerts.yml").read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def exported():
    """Return each series that the table of metrics promises, which is held against /metrics."""
    rows = re.findall(r"^\| `(shoal_\w+)` \| (\w+) \| ([^|]*)\|", TABLE, re.MULTILINE)
    found = {}
    for name, kind, labels in rows:
        parts = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {f"{name}{part}": set(re.findall(r"`(\w+)`", labels)) | {"le"} for part in parts}
    return found


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_series_and_labels_that_are_exported(alert):
    rule, series = ALERTS[alert], exported()
    asked = re.findall(r"(shoal_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert asked
    for name, labels in asked:
        assert name in series
        assert set(re.findall(r"(\w+)=", labels)) <= series[name]
    grouped = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", rule["expr"]))))
    told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    known = set().union(*(series[name] for name, _ in asked))
    assert grouped | told <= known
    if grouped:
        assert told <= grouped
    assert rule["expr"].count("(") == rule["expr"].count(")")
    assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_has_an_entry_in_the_runbook_and_the_other_way_round():
    entries = re.findall(r"^## (\w+)$", (DOCS / "runbook.md").read_text(), re.MULTILINE)
    assert sorted(entries) == sorted(ALERTS)
    assert len(entries) == len(set(entries))
    for alert, rule in ALERTS.items():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{alert.lower()}"
