"""Nearest-neighbour search: FAISS files, derived from the catalog."""
