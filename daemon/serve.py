"""`python -m lambdad.daemon.serve ROOT` is a project's daemon: its life, and the server it runs."""

from __future__ import annotations

import contextlib
import gc
import ssl
from collections.abc import Iterator

from lambdad.daemon.life.lifecycle import Serve, main


def load() -> Serve:
    """The server, whose libraries take a while to import."""
    with quick_imports():
        from lambdad.daemon.serving.server import serve

    return serve


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Imports in this block cost a fifth less. What they made is garbage to no later collection.

    aiohttp makes a context for TLS as it is imported, with all certificates of the system. The
    daemon connects to nothing by TLS, and without certificates such a connection would be refused.
    """
    read_certificates = ssl.SSLContext.load_default_certs
    gc.disable()
    ssl.SSLContext.load_default_certs = lambda _context, _purpose=None: None  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ssl.SSLContext.load_default_certs = read_certificates  # type: ignore[method-assign]
        gc.freeze()
        gc.enable()


if __name__ == "__main__":
    main(load)
