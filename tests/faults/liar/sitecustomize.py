"""Gives every process whose PYTHONPATH names this folder one more engine, `lying`."""

from pathlib import Path

import actors.engines
from actors.engines import spec

actors.engines.__path__.append(str(Path(__file__).parent / "engines"))
spec.ENGINES += ("lying",)
