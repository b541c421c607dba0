"""Find the packages: `cli` and `index` are installed as `nmm.cli` and `nmm.index`.

setuptools finds packages by the names of their folders, and pyproject.toml has no way to put a
prefix before them; a list by hand would miss the next new package. All else is in pyproject.toml.
"""

from setuptools import find_packages, setup

setup(packages=[f"nmm.{name}" for name in find_packages(include=["cli*", "index*"])])
