"""Which modules a Lambda runtime brings along: Python's own of its version, and AWS's.

Sources: `sys.stdlib_module_names`; the pages "What's New In Python 3.9" to 3.14 for what came and
went; the folders /var/lang and /var/runtime of the runtimes' public images for AWS's.
"""

from __future__ import annotations

import sys
from typing import Final

_CAME: Final = {
    **dict.fromkeys(("graphlib", "zoneinfo"), (3, 9)),
    "tomllib": (3, 11),
    **dict.fromkeys(("annotationlib", "compression"), (3, 14)),
}
_WENT: Final = {
    **dict.fromkeys(("_dummy_thread", "dummy_threading"), (3, 9)),
    **dict.fromkeys(("formatter", "parser", "symbol"), (3, 10)),
    "binhex": (3, 11),
    **dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), (3, 12)),
    **dict.fromkeys(
        (
            *("aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr", "lib2to3"),
            *("mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd"),
            *("sunau", "telnetlib", "uu", "xdrlib"),
        ),
        (3, 13),
    ),
}
"""The first version that is without it."""

_AWS: Final = frozenset(
    {
        *("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"),
        *("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py", "bootstrap"),
        *("lambda_internal", "pip", "pkg_resources", "setuptools", "_distutils_hack"),
    }
)
"""In some of the images; where it is in doubt a module is taken to be there."""


def brings(module: str, version: tuple[int, ...]) -> bool:
    """Whether a top-level module is there without being installed, as far as is known."""
    if module in _AWS or module == "__main__":
        return True
    if module in _CAME or module in _WENT:
        return _CAME.get(module, version) <= version < _WENT.get(module, (4,))
    # What a Python that is newer than ours has is not known.
    return module in sys.stdlib_module_names or module in sys.builtin_module_names


def since(module: str) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """The version that a module of Python's came with, and the first that is without it."""
    return _CAME.get(module), _WENT.get(module)
