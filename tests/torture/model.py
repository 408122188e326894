"""What an answer must hold, read off the disk by resolvers of its own.

They know as much of esbuild's, Node.js's, npm's and lambdad's rules as the torture's project uses,
and share nothing with the bundler: no cache, no metafile, no snapshot.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from tests.torture import bundled, packaged, python
from tests.torture.disk import BROKEN, Disk
from tests.torture.state import State

States = Mapping[str, State]
"""By function. Empty: the configuration can't be read, so none is known."""

_RESOURCE = re.compile(
    r"^  (\w+):\n    Type: AWS::Serverless::Function\n(?:    .*\n)*", re.MULTILINE
)
_HANDLER = re.compile(r"Handler: (\S+)\.handler")
_CODE = re.compile(r"CodeUri: (\S+)")


def states(root: str) -> States:
    """Of each declared function."""
    disk = Disk()
    text = disk.read(f"{root}/template.yaml") or ""
    if BROKEN in text:
        return {}
    options = tomllib.loads(disk.read(f"{root}/lambdad.toml") or "")
    found = {}
    for match in _RESOURCE.finditer(text):
        name, declared = match[1], match[0]
        handler, code = _HANDLER.search(declared), _CODE.search(declared)
        assert handler
        assert code
        if "python" in declared:
            found[name] = python.state(f"{root}/{code[1]}", root, disk)
        elif "esbuild" in declared:
            own = options.get("functions", {}).get(name, {})
            banner = own.get("esbuild", {}).get("banner", {}).get("js", "")
            found[name] = bundled.state(f"{root}/{handler[1]}", banner, disk)
        else:
            found[name] = packaged.state(f"{root}/{code[1]}", disk)
    return found
