"""The command line as a real process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run_shoal(
    *args: str, before: tuple[str, ...] = (), **options
) -> subprocess.CompletedProcess[str]:
    """Run the installed command; `before` is what starts it in its place."""
    command = [*before, str(Path(sys.executable).parent / "shoal"), *args]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=180, **options
    )
