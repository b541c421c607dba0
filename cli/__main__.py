"""`python -m nmm.cli` is `nmm`."""

from nmm.cli import command

command()
