"""Encoders: the models, their families, their files, their compilation and their runtime."""
