"""Reads the options of a quick command where they are plain, without an argument parser to load."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FLAGS = {"--json": "as_json"}
VALUES = {"--project": "project", "--timeout": "timeout_s"}


class ClientOptions:
    """What `lambdad fresh` and `lambdad save` have in common."""

    def __init__(self) -> None:
        self.named: list[str] = []
        """Functions, or files."""
        self.project: str | None = None
        self.timeout_s: float | None = None
        self.as_json = False


def parse(
    options: ClientOptions,
    arguments: Iterable[str],
    flags: Mapping[str, str],
    values: Mapping[str, str],
) -> bool:
    """Sets the options; `flags` and `values` say under which attribute, beside the common ones.
    False where click must help, or say what is wrong."""
    flags, values = {**FLAGS, **flags}, {**VALUES, **values}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if argument == "--":
            options.named += rest
        elif not argument.startswith("-"):
            options.named.append(argument)
        elif argument in flags:
            setattr(options, flags[argument], True)
        elif name in values:
            given = value if equals else next(rest, "")
            if not given or given.startswith("-"):
                return False
            setattr(options, values[name], given)
        else:
            return False
    if options.timeout_s is None:
        return True
    try:
        options.timeout_s = float(options.timeout_s)
    except ValueError:
        return False
    return 0 <= options.timeout_s < float("inf")
