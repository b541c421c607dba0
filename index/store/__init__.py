"""What an index keeps on disk: the catalog, and the vectors derived from it."""
