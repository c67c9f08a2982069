"""Scoring: what one trained model does on the test set, written down for all comparisons to read."""
