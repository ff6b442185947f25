"""Two machines, and who runs `ray up` for them; skipped, with the reason, where they cannot be."""

import shutil
import tempfile
from pathlib import Path

import pytest
from launcher import Launcher
from machines import Machines, why_not


@pytest.fixture(scope="module")
def machines():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="shoal-m-"))
    try:
        with Machines(folder, count=2) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def launcher(machines):
    return Launcher(machines.folder)
