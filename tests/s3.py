"""An S3 server on loopback, and what a process needs to use it."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager

from waiting import until


@contextmanager
def running_s3_server():
    """Yield its address."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with (
        tempfile.TemporaryFile("w+") as said,  # a pipe would be full after some hundred requests
        subprocess.Popen(command, stderr=said, text=True) as process,
    ):
        try:
            yield until(lambda: _address_in(said))
        finally:
            process.kill()


def _address_in(said):
    return next(
        (word for word in os.pread(said.fileno(), 4096, 0).decode().split() if "://" in word), ""
    )


def s3_environment(address):
    """Return the environment that names the server and lets in whoever has it."""
    return {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
    }
