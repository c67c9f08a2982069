"""`python -m assay.cli`, as the console script `assay`."""

from assay.cli import main

main()
