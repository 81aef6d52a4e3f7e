"""One module for each command, or few that belong together, of `gateway audit`."""
