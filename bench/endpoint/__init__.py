"""The endpoint beside MLflow's server, MLServer, BentoML and FastAPI, all with the same model and requests."""
