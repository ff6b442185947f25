"""Who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
ABOVE = {"actors": {"cluster", "mcp_adapter"}, "cluster": {"mcp_adapter"}, "mcp_adapter": set()}
COMPOSITION_ROOT = PROJECT / "cluster" / "cli.py"


def imported(file):
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("package", ABOVE)
def test_imports_point_down(package):
    for file in (PROJECT / package).rglob("*.py"):
        if file != COMPOSITION_ROOT:
            assert not ABOVE[package] & set(imported(file)), file


@pytest.mark.parametrize(
    "module", ["cluster.client", "cluster.commands", "mcp_adapter.conversation"]
)
def test_the_clients_side_imports_neither_ray_nor_an_engine(module):
    heavy = (
        "ray",
        "numpy",
        "lance",
        "pyarrow",
        "tokenizers",
        "fastapi",
        "onnxruntime",
        "huggingface_hub",
    )
    code = f"import sys, {module}; print(*(m for m in {heavy!r} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []
