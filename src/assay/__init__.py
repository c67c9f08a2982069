"""Assay: what does an efficient training method buy, at equal cost, with error bars?"""

import os

# Read by OpenMP when torch is loaded. By default its threads spin while they wait, which costs a factor of ten and more
# as soon as another process wants a core; so short a spin costs nothing on an idle machine (decision 0003).
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
