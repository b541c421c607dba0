"""Copy, link and move files on disk."""
