"""Run by a bundle's own interpreter, with the system's Python hidden: fails
unless all that is loaded comes from the bundle.

usage: try-tier1.py ROOT SMALL(1|0)
"""
import os
import re
import struct
import sys

root = os.path.realpath(sys.argv[1])
small = sys.argv[2] == "1"
# The C library's parts, which must be the node's own.
SYSTEM = re.compile(r"/(ld-linux[^/]*|lib(c|m|dl|rt|util|pthread|resolv|nss_[a-z]+)[-.][^/]*)$")


def inside(path):
    return os.path.realpath(path).startswith(root + "/")


def stale(source):
    """Why the compiled form of a module would not be used, if so."""
    head, name = os.path.split(source)
    compiled = f"{head}/__pycache__/{name[:-3]}.cpython-311.pyc"
    try:
        with open(compiled, "rb") as file:
            _, flags, mtime, size = struct.unpack("<4sIII", file.read(16))
    except FileNotFoundError:
        return "not compiled"
    have = os.stat(source)
    if flags == 0 and (mtime != int(have.st_mtime) or size != have.st_size):
        return "compiled from another source"
    return None


import ctypes, decimal, hashlib, json, lzma, ssl, zlib  # noqa: E401,E402 with C parts

if not small:
    import sqlite3
    import mpi4py.MPI
    import numpy
    import scipy.linalg

    a = numpy.array([[4.0, 1.0], [1.0, 3.0]])
    assert numpy.allclose(a @ scipy.linalg.solve(a, [1.0, 2.0]), [1.0, 2.0])
    assert mpi4py.MPI.COMM_WORLD.allreduce(21) == 21

problems = [f"sys.path: {p}" for p in sys.path[1:] if not (inside(p) or p == "")]
modules = [m for m in list(sys.modules.values()) if getattr(m, "__file__", None)]
problems += [f"module: {m.__file__}" for m in modules
             if not inside(m.__file__) and m.__name__ != "__main__"]
with open("/proc/self/maps", encoding="utf-8") as maps:
    mapped = {line.split(None, 5)[5].strip() for line in maps if ".so" in line}
problems += [f"library: {p}" for p in sorted(mapped) if not inside(p) and not SYSTEM.search(p)]
sources = 0
for directory, subdirectories, files in os.walk(root):
    for name in subdirectories + files:
        path = os.path.join(directory, name)
        if os.path.islink(path) and not (os.path.exists(path) and inside(path)):
            problems.append(f"link: {path} -> {os.readlink(path)}")
        if name.endswith(".py") and "/lib/python3" in path:
            sources += 1
            why = stale(path)
            if why:
                problems.append(f"{why}: {path}")
if problems:
    sys.exit("make-tier1: the bundle is not complete in itself:\n  " + "\n  ".join(problems[:40]))
print(f"make-tier1: tried: {len(modules)} modules and {len(mapped)} libraries, all from the "
      f"bundle; {sources} sources, all compiled", file=sys.stderr)
