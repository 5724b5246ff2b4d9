#!/bin/bash
#SBATCH --job-name=python
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
# Python from the memory of the nodes, where the plugin is not installed:
#     sbatch job-without-plugin.sh

tier1=${TIER1:-/proj/sw/python-3.11.tar.zst}    # interpreter and large packages, kept by somebody
packages=${PACKAGES:-$HOME/mypackages.tar.zst}  # your own, made by `pbcast bundle pip`
app=${APP:-$SLURM_SUBMIT_DIR}                   # the application, packed while it is sent

# On all nodes, or on none. What is staged goes when the job ends, also by scancel.
pbcast stage "$tier1" "$packages" "mirror:$app" || exit

# From here on `python3` is the staged one.
eval "$(pbcast env)"

# srun, or mpirun with the options that it needs, for example
#     LAUNCH='mpirun --map-by ppr:1:node' sbatch job-without-plugin.sh
${LAUNCH:-srun} python3 "$PBCAST_ROOT/main.py"
