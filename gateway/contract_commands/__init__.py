"""One module for each command of `gateway contract`, imported to be run."""
