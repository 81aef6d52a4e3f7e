"""Asking again: engines that run recorded input, and what another version would have said."""
