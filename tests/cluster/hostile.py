"""Writes archives with members that must be refused, and prints "NAME|words of the error"."""
import io
import sys
import tarfile

out = sys.argv[1]
print(out)


def member(name, kind=tarfile.REGTYPE, data=b"hostile", **more):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = 0o755
    info.size = len(data) if kind == tarfile.REGTYPE else 0
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


cases = {
    "dotdot": ("'../../tmp/outside'", [member("../../tmp/outside")]),
    "hidden-dotdot": ("'a/../../outside'", [member("a/../../outside")]),
    "absolute": ("'/tmp/outside'", [member("/tmp/outside")]),
    "setuid": ("'bin/su' is setuid", [member("bin/su", mode=0o4755)]),
    "setgid": ("'bin/sg' is setgid", [member("bin/sg", mode=0o2755)]),
    "device": ("'null' is a device", [member("null", tarfile.CHRTYPE, devmajor=1, devminor=3)]),
    "block": ("'disk' is a device", [member("disk", tarfile.BLKTYPE, devmajor=8, devminor=0)]),
    "fifo": ("'pipe' is a fifo", [member("pipe", tarfile.FIFOTYPE)]),
    "link-out": ("'l'", [member("l", tarfile.SYMTYPE, linkname="../../../tmp")]),
    "link-absolute": ("'l'", [member("l", tarfile.SYMTYPE, linkname="/tmp")]),
    "through-link": ("'l", [member("l", tarfile.SYMTYPE, linkname="../../../tmp"), member("l/outside")]),
    "climbing-chain": ("'x'", [
        member("a/b/c", tarfile.DIRTYPE),
        member("a/b/c/up", tarfile.SYMTYPE, linkname="../../.."),
        member("x", tarfile.SYMTYPE, linkname="a/b/c/up/../../../tmp"),
    ]),
    "hard-link-out": ("'h' is a hard link", [member("h", tarfile.LNKTYPE, linkname="../../../etc/passwd")]),
    "hard-link-absolute": ("'h' is a hard link", [member("h", tarfile.LNKTYPE, linkname="/etc/passwd")]),
    "deep": ("directories deep", [member("d/" * 1000 + "f")]),
    "file-over-directory": ("'d' is a directory", [member("d", tarfile.DIRTYPE), member("d")]),
}
for name, (words, members) in cases.items():
    with tarfile.open(f"{out}/{name}.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
        good, data = member("good")
        tar.addfile(good, io.BytesIO(data))
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.size else None)
    print(f"{name}|{words}")
