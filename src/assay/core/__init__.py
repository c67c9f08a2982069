"""What every room stands on: the error that a user reads, files written whole or not at all, where a process runs."""
