"""One bad frame for each rule of each shipped suite, which only that rule stops."""
