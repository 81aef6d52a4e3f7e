"""HTTP: the routes, who may use them, and the one shape of every error; no decisions."""
