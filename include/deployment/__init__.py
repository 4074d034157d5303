"""From a registered version to what customers get: one folder per kind of target."""
