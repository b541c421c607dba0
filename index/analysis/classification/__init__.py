"""Zero-shot classification and tags."""
