"""`python -m assay.check`: check all of params.yaml before anything runs, with one line for each thing wrong."""

from __future__ import annotations

from assay import config, methods
from assay.foundation.errors import one_line_errors


def main() -> None:
    """Check the file; say what it asks for."""
    params = config.load()
    methods.check(params)
    runs = params.runs()
    networks = sum(len(run.seeds) for run in runs)
    print(f"{config.PARAMS_FILE}: fine; {params.data.name}, {len(runs)} runs, {networks} networks")


if __name__ == "__main__":
    with one_line_errors():
        main()
