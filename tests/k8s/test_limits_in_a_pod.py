"""Memory limits where an actor has what pods have: no privilege, control groups to look at."""

import os
import shutil
import subprocess
import sys

import pytest

AS_IN_A_POD = """
for group in /sys/fs/cgroup $(awk '$2 ~ "^/sys/fs/cgroup/" {print $2}' /proc/mounts); do
    mount -o remount,ro,bind "$group"
done
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
ACTOR = """
import numpy as np
from actors.memory import ActorMemory

memory = ActorMemory("host-0", "in-a-pod", 256 << 20)
print(memory.status().enforcement)
try:
    np.ones(512 << 20, np.uint8)
except MemoryError:
    print("refused")
memory.close()
"""


def test_the_kernel_caps_an_actor_all_the_same():
    if not hasattr(os, "getuid") or os.getuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("takes root, to make control groups read-only for one process")
    pod = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", AS_IN_A_POD, "pod"]
    done = subprocess.run(
        [*pod, sys.executable, "-c", ACTOR],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["RLIMIT_DATA + watchdog", "refused"]
