"""Clustering, and names for the clusters."""
