"""Images: decode, metadata, fingerprints, thumbnails."""
