"""Analysis of an index: classification, clustering, duplicates, projection."""
