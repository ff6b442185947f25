"""An S3 server on loopback, and what a process needs to use it."""

import subprocess
import sys
from contextlib import contextmanager

from waiting import until


@contextmanager
def running_s3_server():
    """Yield its address."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield until(
                lambda: next((w for w in process.stderr.readline().split() if "://" in w), "")
            ).strip()
        finally:
            process.kill()


def s3_environment(address):
    """Return the environment that names the server and lets in whoever has it."""
    return {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
    }
