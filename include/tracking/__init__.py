"""The only part that talks to MLflow: runs, models and the registry, always through a client and by id."""
