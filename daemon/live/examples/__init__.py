"""Events as AWS's services send them, to try functions with. The ids in them are made up.

Source: AWS Lambda Developer Guide, "Invoking Lambda with events from other AWS services".
"""

from __future__ import annotations

import os
from typing import Final

from lambdad.bundler.model import BundlerError

_HERE: Final = os.path.dirname(os.path.abspath(__file__))


def example_names() -> list[str]:
    return sorted(name[:-5] for name in os.listdir(_HERE) if name.endswith(".json"))


def example_event(name: str) -> bytes:
    """The event as JSON. Raises BundlerError `unknown-example`."""
    if name not in example_names():
        known = ", ".join(example_names())
        raise BundlerError("unknown-example", f"there is no example {name}", f"there are: {known}")
    with open(f"{_HERE}/{name}.json", "rb") as file:
        return file.read()
