"""From validated partitions to trained, evaluated and logged candidates."""
