"""Networks by name, each fitted to the channels, size and classes of the images.

`torch.manual_seed(s)` followed by `build(...)` gives weights that depend on `s` and on the call's arguments alone.
A family is a file here and a line in `registry.py`; `docs/models.md` lists them all.
"""

from assay.models.fit import check, smallest_side
from assay.models.flops import operations
from assay.models.registry import blueprint, build, names
from assay.models.weights import Kind, parameter_count, weight_names

__all__ = [
    "Kind",
    "blueprint",
    "build",
    "check",
    "names",
    "operations",
    "parameter_count",
    "smallest_side",
    "weight_names",
]
