"""Shared by all tests: the command line as a real process, and data beside the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of prepared data; its absence is a skip here and a failure in CI."""
    folder = Path(os.environ.get("SHOAL_SHARED", PROJECT.parent / "shared"))
    if not folder.is_dir():
        message = f"{folder} is not there; set SHOAL_SHARED to the prepared data"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return folder


def run_shoal(*args: str, **options) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    command = [str(Path(sys.executable).parent / "shoal"), *args]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=180, **options
    )
