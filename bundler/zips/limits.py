"""How large Lambda lets a function be.

Source: AWS Lambda Developer Guide, "Lambda quotas": 50 MB zipped for an upload through the API,
250 MB unzipped with all layers; the service's own messages say 262,144,000 bytes.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from lambdad.bundler.model import Diagnostic, error, warning
from lambdad.bundler.zips import archive
from lambdad.bundler.zips.member import Contents, pack

UNZIPPED: Final = 262_144_000
ZIPPED: Final = 52_428_800

_MIB: Final = 1 << 20
"""AWS's limits count in these and write MB; we write MiB, since the size of a zip is shown in
MB."""
_LISTED: Final = 8


def check(contents: Contents) -> tuple[Diagnostic, ...]:
    """Why Lambda could not take these contents: the errors `zip-name`, `zip-clash` and `too-large`,
    else the warning `large-zip`."""
    if faults := archive.name_faults(contents):
        return faults
    unzipped = _unzipped(contents)
    if unzipped > UNZIPPED:
        packages = _by_package(contents)
        largest = ", ".join(
            f"{name} {size / _MIB:.1f} MiB" for name, size in packages.most_common(_LISTED)
        )
        return (
            error(
                "too-large",
                f"unzipped it is {unzipped / _MIB:.1f} MiB, and Lambda takes 250 MiB; "
                f"the largest are {largest}",
                hint="leave out what the runtime or a layer has, exclude files, "
                "or deploy it as a container image",
            ),
        )
    if (zipped := _zipped(contents)) > ZIPPED:
        return (
            warning(
                "large-zip",
                f"the zip is {zipped / _MIB:.1f} MiB; above 50 MiB it must go through S3",
                hint="upload it to a bucket first, as sam deploy does",
            ),
        )
    return ()


def _zipped(contents: Contents) -> int:
    """Bytes of the zip less its directory; own code is compressed only where it could matter."""
    own = sum(len(entry.content) for entry in contents.own)
    segment = contents.dependencies.size if contents.dependencies is not None else 0
    if own + segment > ZIPPED:
        own = sum(pack(entry)[0].compressed_size for entry in contents.own)
    return own + segment


def _unzipped(contents: Contents) -> int:
    own = sum(len(entry.content) for entry in contents.own)
    if contents.dependencies is None:
        return own
    return own + sum(member.size for member in contents.dependencies.members)


def _by_package(contents: Contents) -> Counter[str]:
    """Bytes unzipped, by folder: a Python package, an npm package, a folder of own code."""
    sizes: Counter[str] = Counter()
    for entry in contents.own:
        sizes[_package(entry.name)] += len(entry.content)
    if contents.dependencies is not None:
        for member in contents.dependencies.members:
            sizes[_package(member.name)] += member.size
    return sizes


def _package(name: str) -> str:
    parts = name.split("/")
    if parts[0] != "node_modules" or len(parts) < 3:
        return parts[0]
    return "/".join(parts[1:3]) if parts[1].startswith("@") else parts[1]
