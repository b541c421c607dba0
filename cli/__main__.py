"""`python -m nmm.cli` is `nmm`."""

from nmm.cli import main

main()
