"""From a file to what an encoder takes: an image, or a text in chunks."""
