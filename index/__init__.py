"""The engine of nmm: find images and texts by what they mean.

A library without a voice: it never prints, prompts or exits, and reports progress
through callbacks. Imports go one way: :mod:`nmm.index.indexing.indexer` and
:mod:`nmm.index.search.engine` use :mod:`~nmm.index.encoders`, :mod:`~nmm.index.media` and
:mod:`~nmm.index.store`, and nothing imports back.
"""
