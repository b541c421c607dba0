"""The commands of nmm eval."""
