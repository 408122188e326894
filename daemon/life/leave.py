"""How the daemon learns that it is to leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("lambdad")


class Leave(asyncio.Event):
    """Once set, the server winds up. Only the loop's thread touches it."""

    def __init__(self) -> None:
        super().__init__()
        self.idle_s: Callable[[], float] = lambda: 0.0
        """For how long no request has come: the server puts its own here."""

    def because(self, reason: str) -> None:
        if not self.is_set():
            log.info("leaving: %s", reason)
        self.set()
