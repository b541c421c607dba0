"""The command line of nmm."""
