"""Connects to each HOST:PORT and sends what does not belong there."""
import os
import socket
import struct
import sys

MAGIC = b"PBCAST\r\n"
hello = MAGIC + struct.pack(">II", 1, 2) + os.urandom(32)
attacks = [
    b"GET / HTTP/1.0\r\n\r\n",
    os.urandom(4096),
    b"",
    MAGIC + struct.pack(">II", 99, 2) + os.urandom(32),  # another version
    hello,                                               # and then silence
    hello + os.urandom(32),                              # a proof that is none
    hello + os.urandom(1 << 16),
]
kept = []
made = 0
for target in sys.argv[1:]:
    host, port = target.split(":")
    for data in attacks * 10:  # more at once than an agent keeps
        s = socket.create_connection((host, int(port)), 2)
        try:
            s.sendall(data)
        except OSError:
            pass
        made += 1
        kept.append(s)  # held open, as a port scan would not
print("connections:", made)
