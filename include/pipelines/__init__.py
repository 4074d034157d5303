"""One folder per pipeline: its declaration in ``pipeline.py`` and the functions that the declaration names."""
