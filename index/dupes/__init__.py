"""Files of an index that are one and the same, nearly so, or of one burst."""
