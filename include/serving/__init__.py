"""The serving process of the SageMaker container contract: it follows a pointer and answers with the model's scores."""
