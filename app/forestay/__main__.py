"""Runs the command line for `python -m forestay`."""

from forestay.cli import main

main()
