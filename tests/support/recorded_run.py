"""Builds one case in a process of its own, for a trace of it: ROOT STORE, then the inputs."""

from __future__ import annotations

import base64
import os
import pickle
import sys

from tests.support import recorded

if __name__ == "__main__":
    found = recorded.build(sys.argv[1], sys.argv[2], dict(os.environ))
    plain = {phase: (one.files, one.links, dict(one.listings)) for phase, one in found.items()}
    sys.stdout.write(base64.b64encode(pickle.dumps(plain)).decode())
