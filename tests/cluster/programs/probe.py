"""A task of a job: it fails unless the interpreter, NumPy and this file come from the staged tree."""
import os
import sys

import numpy

root = os.environ["PBCAST_ROOT"] + "/"
for what in (os.__file__, numpy.__file__, os.path.abspath(__file__)):
    if not what.startswith(root):
        raise SystemExit(f"{what} is not staged below {root}")
print("probe", os.uname().nodename, "task", os.environ.get("SLURM_PROCID", "-"), *sys.argv[1:], flush=True)
