"""A SageMaker for development and tests: moto's AWS with a hosting and training plane of real processes.

Start it with ``python -m config.sagemaker_emulator``. Nothing that runs in production imports this or knows that it
exists: only endpoint URLs differ. docs/sagemaker_emulator.md says what it emulates and what it does not.
"""
