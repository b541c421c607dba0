"""Projection of vectors to two dimensions."""
