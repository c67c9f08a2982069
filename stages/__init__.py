"""One thin entry point a stage of dvc.yaml: read parameters, call `assay`, write files.

Each raises an `AssayError` where parameters are wrong or a file is missing or damaged; its lines are what is printed.
"""

import sys
from pathlib import Path

# The library beside these stages and no other: DVC runs an experiment in a copy of the repository, with the environment
# of the clone, whose `assay` is the clone's. Results of other code would be taken for the copy's.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
