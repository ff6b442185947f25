"""An actor's process that outgrows its limit; run as `glutton.py DEED ENFORCEMENT [STORE_BYTES]`.

What it says goes to standard output, one word a line; "child PID" for each child that it makes.
"""

import mmap
import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np

from actors.memory import ActorMemory

LIMIT = 256 << 20
APPETITE = 3 * LIMIT
STEP = 4 << 20


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def arrays():
    return [np.ones(STEP >> 3) for _ in range(APPETITE // STEP)]


def objects():
    return [str(number) for number in range(APPETITE // 48)]


def mapped():
    file = np.memmap(os.environ["MAPPED_FILE"], mode="r")
    file[::4096].sum()
    time.sleep(1)  # two samples of the monitor and some looks of the watchdog
    return file


def shared(total=APPETITE, pause_s=0.0):
    handle = os.memfd_create("shared")
    os.ftruncate(handle, total)
    memory = mmap.mmap(handle, total)
    for start in range(0, total, STEP):
        memory[start : start + STEP] = bytes(STEP)
        time.sleep(pause_s)
    return memory


def eat_a_fifth():
    held = np.ones(APPETITE // 5 >> 3)
    time.sleep(60)
    return held


def subprocesses():
    wait_for(
        subprocess.Popen([sys.executable, "-c", "import glutton; glutton.eat_a_fifth()"])
        for _ in range(4)
    )


def forks():
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=eat_a_fifth) for _ in range(4)]
    for child in children:
        child.start()
    wait_for(children)


def wait_for(children):
    for child in list(children):
        say("child", child.pid)
    time.sleep(60)


def store():
    """Fill the node's store through this process, as slowly as messages come."""
    return shared(LIMIT + LIMIT // 2, 0.005)


def idle():
    children = [
        subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, start_new_session=True)
    ]
    wait_for(children)


DEEDS = {
    deed.__name__: deed
    for deed in (arrays, objects, mapped, shared, subprocesses, forks, store, idle)
}


def main():
    deed, enforcement, *store_bytes = sys.argv[1:]
    memory = ActorMemory(
        "test/glutton",
        "glutton",
        LIMIT,
        enforcement=enforcement,
        object_store_bytes=int(*store_bytes),
    )
    say("watchdog", memory._watchdog._process.pid)
    say("enforcement", memory.status().enforcement)
    say("predecessor", memory.last_death and memory.last_death.deaths)
    if memory.last_death and deed == "idle":
        memory.survived()
    try:
        with memory.track(f"eating {deed}"):
            held = DEEDS[deed]()
    except MemoryError:
        say("MemoryError")
        held = None
    say("peak", memory.sample().peak)
    del held
    say("lives")


if __name__ == "__main__":
    main()
