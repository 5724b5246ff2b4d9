"""Ranks that add up through MPICH, whose library is the node's; Debian's mpi4py is OpenMPI's alone."""
import ctypes
import os

import numpy

if not numpy.__file__.startswith(os.environ["PBCAST_ROOT"] + "/"):
    raise SystemExit(f"{numpy.__file__} is not staged")
mpi = ctypes.CDLL("libmpich.so.12")
# mpi.h of MPICH, whose binary interface keeps these values.
WORLD, INT, SUM = 0x44000000, 0x4C000405, 0x58000003
if mpi.MPI_Init(None, None) != 0:
    raise SystemExit("MPI_Init failed")
rank, size = ctypes.c_int(), ctypes.c_int()
mpi.MPI_Comm_rank(WORLD, ctypes.byref(rank))
mpi.MPI_Comm_size(WORLD, ctypes.byref(size))
mine = numpy.array([rank.value + 1], dtype=numpy.int32)
total = numpy.zeros(1, dtype=numpy.int32)
mpi.MPI_Allreduce(ctypes.c_void_p(mine.ctypes.data), ctypes.c_void_p(total.ctypes.data), 1, INT, SUM, WORLD)
if total[0] != size.value * (size.value + 1) // 2:
    raise SystemExit(f"rank {rank.value}: the sum is {total[0]}")
print("sum", rank.value, "of", size.value, os.uname().nodename, flush=True)
# MPI_Finalize of Debian's MPICH (UCX) hangs once in some ten times, with pbcast or without.
mpi.MPI_Barrier(WORLD)
os._exit(0)
