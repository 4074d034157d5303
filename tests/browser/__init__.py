"""A real browser on the pages of a running system: for tests, and for the pictures of the README."""
