"""One decision in one file: what was asked and answered, by what version, and why to believe it."""
