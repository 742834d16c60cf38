"""``python -m surflow`` is the command line ``surflow``."""

from surflow.app.cli import main

main()
