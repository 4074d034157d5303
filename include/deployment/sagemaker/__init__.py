"""A pipeline served by a real-time endpoint of SageMaker."""
