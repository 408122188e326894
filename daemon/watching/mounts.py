"""What kind of file system a path lies on: whether changes to it can be heard of at all.

The kernel reports changes that this machine made through this mount. Those made on the other side
of it (another host, the host of this container, the Windows around this Linux) it never sees.
Builds are right all the same, since they stat; they are only not early.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Final

from lambdad.bundler import tools
from lambdad.bundler.model import BundlerError
from lambdad.daemon.watching.aliases import resolved

LOCAL: Final = "local"
NETWORK: Final = "network"
SHARE: Final = "container share"
USER_SPACE: Final = "user space"
UNKNOWN: Final = "unknown"

KINDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "afpfs", "webdav", "ceph", "lustre",
         "gpfs", "ocfs2", "gfs2", "beegfs", "orangefs", "ncpfs", "coda", "fuse.sshfs",
         "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.ceph-fuse", "fuse.gcsfuse"),
        NETWORK,
    ),
    **dict.fromkeys(
        ("9p", "drvfs", "virtiofs", "vboxsf", "prl_fs", "prl_fsd", "fakeowner", "fuse.grpcfuse",
         "grpcfuse", "fuse.osxfs", "osxfs", "fuse.vmhgfs-fuse", "vmhgfs"),
        SHARE,
    ),
    **dict.fromkeys(("fuse", "macfuse", "osxfuse"), USER_SPACE),
    # A disk's own format, driven from user space: its changes are all made here.
    "fuseblk": LOCAL,
}  # fmt: skip
"""File system type -> kind. What is absent is local, and any other "fuse.*" user space."""

MEANING: Final[Mapping[str, str]] = {
    NETWORK: "changes made by other hosts are not reported here",
    SHARE: "changes made outside of this container or machine are not reported here",
    USER_SPACE: "changes made beneath this mount are not reported here",
    UNKNOWN: "whether changes are reported here is not known",
}
"""What a kind other than local means for its user: builds are right, only not early."""


def mount_kind(path: str) -> str:
    """The kind of what `path` lies on, or will lie on; UNKNOWN where the system does not say."""
    return _kind(_type_at(resolved(path), _mounts()))


def parse_mountinfo(text: str) -> list[tuple[str, str]]:
    """Mount points and file system types of Linux's /proc/self/mountinfo, in mounting order."""
    mounts = []
    for line in text.splitlines():
        # proc(5): the type is the first field after a lone "-", which ends the optional ones.
        before, separator, after = line.partition(" - ")
        fields = before.split(" ")
        if separator and len(fields) >= 6 and after:
            mounts.append((_unescape(fields[4]), after.split(" ")[0]))
    return mounts


def parse_mount_output(text: str) -> list[tuple[str, str]]:
    """The same of what `mount` prints on macOS: "/dev/disk3s5 on /Volumes/a b (apfs, local)"."""
    found = re.findall(r"^.+? on (/.*) \(([^,)]+)[^)]*\)$", text, re.MULTILINE)
    return [(str(point), str(kind)) for point, kind in found]


def _mounts() -> list[tuple[str, str]]:
    if sys.platform == "darwin":
        try:
            return parse_mount_output(tools.run(["/sbin/mount"], cwd="/", timeout_s=5.0).stdout)
        except BundlerError:
            return []
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return parse_mountinfo(file.read())
    except OSError:
        return []


def _type_at(path: str, mounts: Iterable[tuple[str, str]]) -> str | None:
    """Of the deepest mount above the path; of two at one place the later hides the earlier."""
    deepest, found = -1, None
    for point, kind in mounts:
        prefix = point if point.endswith("/") else f"{point}/"
        if f"{path}/".startswith(prefix) and len(prefix) >= deepest:
            deepest, found = len(prefix), kind
    return found


def _kind(file_system: str | None) -> str:
    if file_system is None:
        return UNKNOWN
    if file_system in KINDS:
        return KINDS[file_system]
    return USER_SPACE if file_system.startswith("fuse.") else LOCAL


def _unescape(text: str) -> str:
    """Undoes the kernel's octal escapes of space, tab, newline and backslash."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
