"""What DVC knows of the pipeline: which stages are stale and why, what caches can restore, where results come from."""
