"""Builds one case in a process of its own, for a trace of it: ROOT STORE CASE, then the inputs.

CASE is JSON as of fixtures/config/*/case.json. Without a STORE the project is read and not built.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import sys

from tests.support import recorded

if __name__ == "__main__":
    root, store, case = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    environ = dict(os.environ)
    if store:
        found = recorded.build(root, store, environ, case)
    else:
        found = recorded.read(root, environ, case)[1]
    plain = {phase: (one.files, one.links, dict(one.listings)) for phase, one in found.items()}
    sys.stdout.write(base64.b64encode(pickle.dumps(plain)).decode())
