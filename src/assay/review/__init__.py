"""A branch against its base: parameters, metrics and verdicts that changed, as one comment that people review."""
