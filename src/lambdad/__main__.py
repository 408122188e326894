"""Makes `python -m lambdad` the command line."""

from __future__ import annotations

from lambdad.daemon.entry import main

if __name__ == "__main__":
    main()
