"""A plan of a rollout held over recorded traffic, before it touches anybody."""
