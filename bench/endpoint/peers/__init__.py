"""The programs that are only measured against; each imports no more of the project than the model needs."""
