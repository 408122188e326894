"""The language server over stdio, with pygls' own client and a real daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.lsp_client import Editor, editor
from tests.served import served


def test_a_fault_is_shown_and_goes(tmp_path: Path) -> None:
    """A fault that is saved is shown at its line, and goes once the file is saved without it."""

    async def act() -> None:
        with served(tmp_path, start=False) as app:
            async with editor(app.site) as found:
                found.open("one/app.py")
                found.save("one/app.py", "def handler(event, context):\n    return missing\n")
                told = await found.shows("one/app.py", "F821")
                assert (told.range.start.line, told.range.start.character) == (1, 11)
                assert told.range.end.character == 18
                found.save("one/app.py", "def handler(event, context):\n    return 1\n")
                await found.clears("one/app.py", "F821")
                print(found.published, found.messages)

    asyncio.run(act())
