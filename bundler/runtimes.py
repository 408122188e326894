"""The table of Lambda's runtimes, and what each one means for a build.

Source: AWS Lambda Developer Guide, "Lambda runtimes": python3.12 and later and nodejs20.x and
later run on Amazon Linux 2023 (glibc 2.34), those before on Amazon Linux 2 (glibc 2.26).
"""

from __future__ import annotations

from typing import Final

from lambdad.bundler.model import Architecture, Language, Runtime

AL2: Final = (2, 26)
AL2023: Final = (2, 34)


def _python(minor: int) -> Runtime:
    return Runtime(
        name=f"python3.{minor}",
        language=Language.PYTHON,
        version=(3, minor),
        glibc=AL2 if minor <= 11 else AL2023,
    )


def _node(major: int) -> Runtime:
    return Runtime(
        name=f"nodejs{major}.x",
        language=Language.JAVASCRIPT,
        version=(major,),
        glibc=AL2 if major <= 18 else AL2023,
    )


RUNTIMES: Final = {
    runtime.name: runtime
    for runtime in (*map(_python, range(8, 15)), *map(_node, (12, 14, 16, 18, 20, 22, 24)))
}

DEPRECATED: Final = frozenset(
    {"python3.8", "python3.9", "nodejs12.x", "nodejs14.x", "nodejs16.x", "nodejs18.x"}
)
"""Past AWS's end of support: they still build, with a warning."""

ARCHITECTURES: Final = {architecture.value: architecture for architecture in Architecture}
