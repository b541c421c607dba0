"""The terminal: exit codes, standard output, signals, printable text."""
