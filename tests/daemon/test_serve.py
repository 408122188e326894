"""The daemon's program."""

from __future__ import annotations

import subprocess
import sys

LOADING = """
import gc, ssl
from lambdad.daemon import serve
read = []
def load_default_certs(self, purpose=ssl.Purpose.SERVER_AUTH):
    read.append(purpose)
ssl.SSLContext.load_default_certs = load_default_certs
serve.load()
import aiohttp
assert not read, read
assert ssl.SSLContext.load_default_certs is load_default_certs
assert gc.isenabled() and gc.get_freeze_count()
"""


def test_loading_reads_no_certificates() -> None:
    """They take a fifth of a daemon's start, and nothing that it does needs them."""
    done = subprocess.run([sys.executable, "-P", "-c", LOADING], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
