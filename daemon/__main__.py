"""`python -m daemon` is `lambdad`."""

from daemon.cli.main import main

main()
