"""A process that is killed at a chosen step of its writing."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable


def dies_at(count: int, act: Callable[[], object]) -> bool:
    """Whether a child was killed before its `count`th step on disk; else it finished."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no lock of a thread's
        child = os.fork()
    if child == 0:
        left = count

        def hook(event: str, _arguments: object) -> None:
            nonlocal left
            if event in _STEPS:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            act()
            os._exit(0)
        finally:
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


_STEPS = {
    "open",
    "os.rename",
    "os.mkdir",
    "os.symlink",
    "os.utime",
    "os.chmod",
    "os.remove",
    "shutil.rmtree",
}
