"""Work that lets searches go first."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import os, threading
from actors.priority import stand_aside
stand_aside()
found = []
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
print(found == [os.SCHED_IDLE] == [os.sched_getscheduler(0)], os.getpriority(os.PRIO_PROCESS, 0) > 0)
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has idle work")
def test_batch_work_and_the_threads_that_it_starts_stand_aside():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"
