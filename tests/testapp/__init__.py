"""A small application with a model for every shape; installed only where the suite runs."""
