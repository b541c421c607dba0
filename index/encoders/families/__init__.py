"""Model families: their torch definitions and how their files are read."""
