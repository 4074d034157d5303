"""The target on this machine: a serving process that follows a pointer."""
