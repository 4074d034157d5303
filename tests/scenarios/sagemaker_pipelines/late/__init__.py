"""A pipeline of the scenario tests."""
