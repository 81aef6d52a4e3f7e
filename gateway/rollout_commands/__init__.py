"""The commands of `gateway rollout`, each imported to be run."""
