"""Unit tests of include.gates, on the toy pipeline and suites of their own."""
