"""`python -m daemon` is `lambdad`."""

from daemon.entry import main

main()
