"""Limits that the kernel enforces, in processes of their own."""

import subprocess
import sys

import pytest

CAPPED = """
import resource
import numpy as np
from actors.memory import data_limit

held = np.ones(300 << 17)  # 300 MB that count as held already
before = resource.getrlimit(resource.RLIMIT_DATA)
with data_limit(100 << 20):
    np.ones(50 << 17)
    try:
        np.ones(150 << 17)
    except MemoryError:
        print("stopped at the cap")
np.ones(150 << 17)
assert resource.getrlimit(resource.RLIMIT_DATA) == before
print("free again")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts private memory like this")
def test_a_cap_is_over_what_is_held_and_ends_with_its_block():
    done = subprocess.run(
        [sys.executable, "-c", CAPPED], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "stopped at the cap\nfree again\n", done.stderr


GIVEN_BACK = """
import numpy as np
import onnxruntime
import psutil
from actors.memory import give_back_files


def pss():
    return psutil.Process().memory_full_info().pss


before = pss()
give_back_files()
after = pss()
assert np.linalg.inv(np.eye(3)).trace() == 3
assert onnxruntime.get_available_providers()
print(after < 0.9 * before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which pages are a file's")
def test_pages_of_libraries_are_given_back_and_come_again_when_used():
    done = subprocess.run(
        [sys.executable, "-c", GIVEN_BACK], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == "True\n", done.stderr
