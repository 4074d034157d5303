"""Below the stages: the only part that talks to AWS and to Kubernetes."""
