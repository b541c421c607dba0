"""The base of all commands: Click classes, configuration, completion, saved queries."""
