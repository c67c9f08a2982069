"""Training: a stack of networks, and the one gradient loop with its five seams."""
