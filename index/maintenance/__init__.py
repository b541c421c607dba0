"""Maintenance of an index: check, repair, compact, export, import, remove."""
