"""The catalog: the SQLite database that holds files, contents, vectors and words."""
