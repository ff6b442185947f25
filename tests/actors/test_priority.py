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
print(found == [os.sched_getscheduler(0)] == [os.SCHED_IDLE])
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has idle work")
def test_batch_work_and_the_threads_that_it_starts_stand_aside():
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
