"""How well the next month's fit is foretold, on the real months of flights."""
