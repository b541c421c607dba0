"""Output as HTML pages and pictures."""
