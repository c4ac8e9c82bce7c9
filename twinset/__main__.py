"""`python -m twinset`."""

from twinset.cli import main

main()
