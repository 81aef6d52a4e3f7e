"""What a file must pass before it is a version."""
