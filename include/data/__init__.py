"""From a file in the landing folder to a published, content-addressed version of a partition."""
