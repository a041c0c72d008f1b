"""`python -m enginehouse`: the command line."""

from enginehouse.cli import main

main()
