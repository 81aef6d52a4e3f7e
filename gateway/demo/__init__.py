"""The demonstration: models of real flights, and the July traffic that they meet."""
