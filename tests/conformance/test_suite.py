"""The official conformance suite, over our own factory, door and transports."""

import os
import re
import tarfile
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
ASKED = {
    "2025-11-25": ("--suite", "all", "--spec-version", "2025-11-25"),
    "2026-07-28": ("--requirements", "2026-07-28"),
}
SCENARIOS = {"2025-11-25": 33, "2026-07-28": 37}
NOT_SCORED = re.compile(r"^  [✓✗] ([\w.-]+) \(\w+\)$", re.MULTILINE)
VERDICT = re.compile(r"^(✓|✗) ([\w.-]+):", re.MULTILINE)


@pytest.fixture
def suite(node, tmp_path):
    """Return what runs the suite against an address and returns what it prints."""

    def run(revision, url, *more):
        asked = ("server", "--url", url, *ASKED[revision], "-o", revision, *more)
        done = node(SUITE, *asked, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("revision", SCENARIOS)
def test_every_scenario_of_a_revision_passes(suite, equipped, revision, tmp_path):
    told = suite(revision, f"{equipped}/mcp")
    _keep(revision, told, tmp_path)

    not_scored = set(NOT_SCORED.findall(told))
    scored = {name: mark for mark, name in VERDICT.findall(told) if name not in not_scored}
    assert len(scored) == SCENARIOS[revision]
    assert set(scored.values()) == {"✓"}


@pytest.mark.parametrize("revision", SCENARIOS)
def test_the_application_as_it_is_fails_only_what_it_does_not_offer(suite, plain, revision):
    suite(revision, f"{plain}/mcp", "--expected-failures", HERE / f"plain-{revision}.yml")


def _keep(revision, told, folder):
    """Keep the suite's own files where the environment says so, as evidence."""
    kept = os.environ.get("SHOAL_CONFORMANCE_RESULTS")
    if kept:
        top = Path(kept)
        top.mkdir(exist_ok=True)
        (top / f"{revision}.txt").write_text(told, "utf-8")
        with tarfile.open(top / f"{revision}.tar.gz", "w:gz") as archive:
            archive.add(folder / revision, revision)
