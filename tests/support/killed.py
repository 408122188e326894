"""A process that is killed at a chosen step of its writing."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Callable

from tests.support.steps import at_step


def dies_at(count: int, act: Callable[[], object]) -> bool:
    """Whether a child was killed before its `count`th step on disk; else it finished."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child uses no lock of a thread's
        child = os.fork()
    if child == 0:
        try:
            with at_step(count, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                act()
            os._exit(0)
        finally:
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)
