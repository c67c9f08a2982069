"""Analysis: from evaluations to paired differences and verdicts, blind to the method."""
