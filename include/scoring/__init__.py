"""Row features and the scorer: what turns a raw request into a prediction, the same way in training and in serving."""
