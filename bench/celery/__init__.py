"""How many tasks the Celery workers of docker-compose.yaml get through."""
