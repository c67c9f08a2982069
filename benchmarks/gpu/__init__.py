"""What runs on a GPU that is lent for a short time: everything in order, keeping what is done."""
