"""Output: tables, JSON, CSV, templates, progress."""
