#!/bin/bash
#SBATCH --job-name=quickstart
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --output=quickstart.out
# The bundles are on all nodes before this line, and the environment points there.
echo "PBCAST_ROOT=$PBCAST_ROOT"
echo "python is $(command -v python), in the store: $(du -sh "$PBCAST_ROOT" | cut -f1)"
# OpenMPI looks for its own plugins where this says.
export OPAL_PREFIX=$PBCAST_ROOT
srun --mpi=pmix python "$PBCAST_ROOT/app/app.py"
