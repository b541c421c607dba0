"""HTML pages and images."""
