"""The version, in its one place: files and the command line state it, and the build reads it here."""

__version__ = "0.1.0"
