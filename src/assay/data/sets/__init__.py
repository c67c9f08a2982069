"""A data set once it is there: what it is, the tensors it was packed into, and what a training does to them."""
