"""What commands are built on: Click classes, configuration, completion, saved queries."""
