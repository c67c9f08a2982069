"""Data: what a data set is, where its bytes come from, and how its images reach the device."""
