"""Work that lets searches go first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

THREADS = """
import os, threading
from actors.priority import stand_aside
stand_aside()
found = []
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
print(found == [os.sched_getscheduler(0)] == [os.SCHED_IDLE])
"""
SESSION = """
import os
from pathlib import Path
from actors.priority import stand_aside
stand_aside()
print(os.getsid(0) == os.getpid(), "nice 19" in Path("/proc/self/autogroup").read_text())
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has idle work")
def test_batch_work_and_the_threads_that_it_starts_stand_aside():
    assert said(THREADS) == "True\n"


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel does not share by session"
)
@pytest.mark.parametrize("group", [None, 0], ids=["member", "leader"])
def test_where_sessions_share_the_processors_batch_work_has_one_that_weighs_least(group):
    assert said(SESSION, process_group=group) == "True True\n"


def said(script, **options):
    command = [sys.executable, "-c", script]
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout
