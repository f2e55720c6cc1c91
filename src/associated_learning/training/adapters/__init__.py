"""AL inside of other libraries' habits: scikit-learn, Lightning, transformers, and loggers."""
