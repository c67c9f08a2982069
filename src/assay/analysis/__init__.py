"""Evaluation: from stored variants to predictions, metrics, statistics and verdicts, blind to the method."""
