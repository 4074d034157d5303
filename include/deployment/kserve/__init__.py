"""KServe as a deployment target: an InferenceService, changed step by step and compared with what was asked for."""
