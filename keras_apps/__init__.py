"""keras_apps: eight deep-learning tasks to run, retrain on your own data, and serve."""

__version__ = "0.1.0"
