"""`python -m assay.check`: check all of params.yaml before anything runs, with one line for each thing wrong.

What it passes runs: DVC resolves the stages, each of them accepts its parameters, and every claim can be decided.
"""

from __future__ import annotations

from assay import config, methods
from assay.data import folder
from assay.foundation import runtime
from assay.foundation.errors import one_line_errors


def main() -> None:
    """Check the file and the environment variables that a run reads; say what the file asks for.

    Raises:
        AssayError: something is wrong.
    """
    params = config.load()
    methods.check(params, folder.look(params.data))
    runtime.check()
    runs = params.runs()
    networks = sum(len(run.seeds) for run in runs)
    print(f"{config.PARAMS_FILE}: fine; {params.data.name}, {len(runs)} runs, {networks} networks")


if __name__ == "__main__":
    with one_line_errors():
        main()
