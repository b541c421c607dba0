"""Quality as a number: searches, classes and pairs of sentences with known answers."""
