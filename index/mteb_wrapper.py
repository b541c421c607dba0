"""The former place of :mod:`nmm.index.evaluation.mteb_adapter`; kept until 0.2."""

from nmm.index.evaluation.mteb_adapter import *  # noqa: F403 - the same names
