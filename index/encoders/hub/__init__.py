"""Model files: hub repositories, downloads, the cache and checksums."""
