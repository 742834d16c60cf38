"""The application: the command line, configurations, runs and their reports."""
