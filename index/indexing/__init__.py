"""Indexing: walk, read, embed, commit."""
