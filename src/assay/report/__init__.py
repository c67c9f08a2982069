"""Reporting: from evaluations to tables, plots, the report page and the README's results; no network needed to read."""
