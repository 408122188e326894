"""`python -m lambdad.daemon.serve ROOT` is a project's daemon: its life, and the server it runs."""

from __future__ import annotations

from lambdad.daemon.life.lifecycle import Serve, main


def load() -> Serve:
    """The server, whose libraries take a while to import."""
    from lambdad.daemon.serving.server import serve

    return serve


if __name__ == "__main__":
    main(load)
