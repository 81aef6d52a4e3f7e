"""How good the answers of a version were, by ground truth that came late. Knows no numpy."""
