"""Gates: evidence first, then a verdict, for refreshes, features and predictions. Only this stage knows GX."""
