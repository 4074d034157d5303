"""How long training takes and what it costs: what was, what is to be expected, and on which machine it is done."""
