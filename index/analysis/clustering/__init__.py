"""Clustering, and names for clusters."""
