"""Files that lie beside the project and are too large for it, such as real models."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("SHOAL_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def shared_file(name):
    """Return a path below the shared folder; skip where that is absent.

    In CI the folder is there or it is not: one of its files missing is then a failure.
    """
    path = SHARED / name
    if not path.exists():
        reason = f"{name} is not below {SHARED}; set SHOAL_SHARED to the folder that holds it"
        if os.environ.get("CI") and SHARED.exists():
            pytest.fail(reason)
        pytest.skip(reason)
    return path
