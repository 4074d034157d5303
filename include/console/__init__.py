"""What a person sees: the state of every pipeline, read from the ledger, the endpoint and the registry."""
