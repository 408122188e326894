from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.daemon.watching import mounts
from lambdad.daemon.watching.watcher import Watcher
from tests.support.watching import Told, linux

# --- mount kinds --------------------------------------------------------------------------------

MOUNTINFO = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
30 27 0:30 / /home/me/share rw shared:7 - nfs4 host:/export rw,vers=4.2
31 27 0:31 / /mnt/c rw,noatime - 9p C:\134 rw,dirsync
32 27 0:32 / /srv rw - virtiofs share rw
33 27 0:33 / /media/with\040space rw master:1 propagate_from:2 - fuse.sshfs me@host: rw
34 27 0:34 / /mac rw - fuse.grpcfuse grpcfuse rw
35 27 8:1 / /usb rw - fuseblk /dev/sda1 rw
36 27 0:36 / /crypt rw - fuse.gocryptfs x rw
37 27 0:37 / /over rw - overlay overlay rw
38 30 0:38 / /home/me/share/local rw - tmpfs tmpfs rw
39 27 0:39 / /twice rw - nfs4 host:/a rw
40 39 0:40 / /twice rw - tmpfs tmpfs rw
41 27 0:41 / /docker rw - fakeowner /run/host_mark/Users rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/etc", mounts.LOCAL),
        ("/", mounts.LOCAL),
        ("/home/me", mounts.LOCAL),
        ("/home/me/share", mounts.NETWORK),
        ("/home/me/share/app/src", mounts.NETWORK),
        ("/home/me/shared", mounts.LOCAL),
        ("/home/me/share/local/x", mounts.LOCAL),
        ("/mnt/c/Users/me", mounts.SHARE),
        ("/srv/app", mounts.SHARE),
        ("/media/with space/app", mounts.NETWORK),
        ("/mac/app", mounts.SHARE),
        ("/docker/app", mounts.SHARE),
        ("/usb/app", mounts.LOCAL),
        ("/crypt/app", mounts.USER_SPACE),
        ("/over/app", mounts.LOCAL),
        ("/twice/app", mounts.LOCAL),
    ],
)
def test_the_kind_of_mount_is_known(monkeypatch: pytest.MonkeyPatch, path: str, kind: str) -> None:
    """Of the deepest mount above the path, the latest of two at one place."""
    monkeypatch.setattr(mounts, "_mounts", lambda: mounts.parse_mountinfo(MOUNTINFO))
    assert mounts.mount_kind(path) == kind
    assert (kind == mounts.LOCAL) or mounts.MEANING[kind]


def test_macs_mounts_are_read() -> None:
    """Names with spaces and brackets included."""
    printed = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "map auto_home on /System/Volumes/Data/home (autofs, automounted, nobrowse)\n"
        "//me@host/share on /Volumes/my share (old) (smbfs, nodev, nosuid)\n"
    )
    assert mounts.parse_mount_output(printed) == [
        ("/", "apfs"),
        ("/System/Volumes/Data/home", "autofs"),
        ("/Volumes/my share (old)", "smbfs"),
    ]


@pytest.mark.parametrize("cut", range(0, len(MOUNTINFO), 7))
def test_torn_mountinfo_raises_nothing(cut: int) -> None:
    """A line that can't be read is left out."""
    for point, kind in mounts.parse_mountinfo(MOUNTINFO[:cut]):
        assert point.startswith("/")
        assert kind


def test_a_system_that_tells_no_mounts_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Health says so rather than promise hints."""
    monkeypatch.setattr(mounts, "_mounts", list)
    assert mounts.mount_kind("/p") == mounts.UNKNOWN


@linux
def test_this_machines_mounts_are_known(tmp_path: Path, told: Told) -> None:
    """Of a real path, and of one that is not there yet; health tells the worst of its roots."""
    assert mounts.mount_kind(str(tmp_path)) != mounts.UNKNOWN
    assert mounts.mount_kind(str(tmp_path / "not/yet")) == mounts.mount_kind(str(tmp_path))
    watcher = Watcher([str(tmp_path)], told)
    watcher.start()
    assert watcher.health().mount == mounts.mount_kind(str(tmp_path))
    watcher.stop()
