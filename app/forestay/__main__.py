"""`python -m forestay` is the command line."""

from forestay.cli import main

main()
