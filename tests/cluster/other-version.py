"""Copies a plugin as if it had been built for a Slurm that has other functions.

usage: other-version.py PLUGIN COPY
The copy says that it is for Slurm 99.11.2, and needs a function that no Slurm has.
"""
import subprocess
import struct
import sys


def readelf(option, file):
    text = subprocess.run(["readelf", "-W", option, file], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    return [line.split() for line in text.splitlines()]


plugin, copy = sys.argv[1:]
with open(plugin, "rb") as file:
    data = bytearray(file.read())
address = next(int(words[1], 16) for words in readelf("--dyn-syms", plugin)
               if words and words[-1] == "plugin_version")
offset = next(address - start + int(words[1], 16) for words in readelf("-l", plugin)
              if words and words[0] == "LOAD"
              for start in [int(words[2], 16)] if start <= address < start + int(words[4], 16))
data[offset:offset + 4] = struct.pack("<I", 99 << 16 | 11 << 8 | 2)
assert b"\0slurm_load_ctl_conf\0" in data
data = data.replace(b"\0slurm_load_ctl_conf\0", b"\0slurm_load_nothing_\0")
with open(copy, "wb") as file:
    file.write(data)
