"""``python -m surflow`` is the command line ``surflow``."""

from surflow.cli import main

main()
