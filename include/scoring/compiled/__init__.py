"""A model without scikit-learn: its arithmetic as plain data, and what evaluates that, for one row and for many."""
