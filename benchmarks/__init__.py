"""Speed against references; measured on demand, never a timed test."""
