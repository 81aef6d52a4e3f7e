"""Formats of a transparency log, pure: tree, tiles, signed notes. Nothing here knows a store."""
