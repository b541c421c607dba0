"""Project vectors to two dimensions."""
