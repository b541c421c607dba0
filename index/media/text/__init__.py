"""Texts: encodings, HTML, and chunks."""
