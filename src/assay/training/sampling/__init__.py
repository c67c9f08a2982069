"""Sampling chains of networks by Monte Carlo: proposals, acceptance tests on mini-batches, schedules, diagnostics."""
