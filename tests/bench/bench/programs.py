"""The programs that are measured, and the bundles."""

import datetime
import os
import re
import shutil
import subprocess
import tarfile

from .base import TOP, WORK, Failure, checked, output

TRIPLET = "x86_64-linux-gnu"


class Programs:
    """What was built: the installed agent, plugin and tools (`agent`, `plugin`, `tool`), and the
    benchmarks' own programs by name (`own`)."""

    def __init__(self, prefix):
        self.given = prefix is not None
        tree = os.path.join(WORK, "build")
        self.prefix = prefix or os.path.join(WORK, "prefix")
        os.makedirs(WORK, exist_ok=True)
        drop_foreign(tree)
        checked("cmake", "-S", TOP, "-B", tree, "-DPBC_TESTS=OFF", "-DPBC_BENCH=ON",
                "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                f"-DCMAKE_INSTALL_PREFIX={os.path.join(WORK, 'prefix')}")
        checked("cmake", "--build", tree, "--parallel")
        checked("cmake", "--install", tree)
        self.folder = os.path.join(tree, "tests", "bench")
        self.agent = self._find("pbcast-stage")
        self.plugin = self._find("pbcast.so")
        self.tool = self._find("pbcast")

    def _find(self, name):
        for path, _, files in os.walk(self.prefix):
            at = os.path.join(path, name)
            if name in files and (name.endswith(".so") or os.access(at, os.X_OK)):
                return at
        raise Failure(f"there is no {name} below {self.prefix}")

    def own(self, name):
        return os.path.join(self.folder, name)


def drop_foreign(tree):
    """Remove a build directory that is of another source tree."""
    try:
        with open(os.path.join(tree, "CMakeCache.txt")) as f:
            ours = f"CMAKE_HOME_DIRECTORY:INTERNAL={TOP}\n" in f.readlines()
    except OSError:
        return
    if not ours:
        shutil.rmtree(tree)


class Bundles:
    """The reference bundles, made when first asked for and kept while the packages that they hold
    are the same: `tier1` (Python, NumPy, SciPy, mpi4py) and `large` (with matplotlib, pandas and
    h5py too), each as gz, zst (one stream) and frames (pbcast convert)."""

    def __init__(self, programs):
        self.programs = programs
        self.counted = {}

    def path(self, which, fmt):
        end = "frames.tar.zst" if fmt == "frames" else "tar." + fmt
        target = os.path.join(WORK, f"{which}.{end}")
        source = os.path.join(WORK, f"{which}.tar.gz")
        if which not in self.counted:
            checked(os.path.join(TOP, "container", "make-tier1"), "--no-verify",
                    *(["--large"] if which == "large" else []),
                    "--cache", os.path.join(WORK, "cache"), source + ".new.tar.gz")
            if not same(source + ".new.tar.gz", source):
                os.replace(source + ".new.tar.gz", source)
                for other in ("tar.zst", "frames.tar.zst"):
                    if os.path.exists(os.path.join(WORK, f"{which}.{other}")):
                        os.unlink(os.path.join(WORK, f"{which}.{other}"))
            else:
                os.unlink(source + ".new.tar.gz")
            self.counted[which] = members(source)
        if not os.path.exists(target):
            if fmt == "zst":
                checked("bash", "-o", "pipefail", "-c",
                        'gzip -dc "$1" | zstd -q -3 -T0 -o "$2.new" && mv "$2.new" "$2"',
                        "bash", source, target)
            else:
                checked(self.programs.tool, "convert", "-q", source, target + ".new.tar.zst")
                os.replace(target + ".new.tar.zst", target)
        return target

    def size(self, which):
        """(files, bytes) unpacked; links count as files."""
        self.path(which, "gz")
        return self.counted[which]

    def archive_size(self, which, fmt):
        return os.path.getsize(self.path(which, fmt))


def same(a, b):
    if not os.path.exists(b) or os.path.getsize(a) != os.path.getsize(b):
        return False
    return subprocess.run(["cmp", "-s", a, b]).returncode == 0


def members(archive):
    """(files, bytes) in an archive: regular files and links count as files."""
    files = size = 0
    cat = subprocess.Popen(["zstd" if archive.endswith("zst") else "gzip", "-dc", archive],
                           stdout=subprocess.PIPE)
    with tarfile.open(fileobj=cat.stdout, mode="r|") as tar:
        for member in tar:
            files += not member.isdir()
            size += member.size
    cat.wait()
    return files, size


def random_archive(path, megabytes):
    """A plain tar of one file of random bytes, which nothing can compress."""
    if os.path.exists(path):
        return path
    with tarfile.open(path + ".new", "w") as tar, open("/dev/urandom", "rb") as source:
        info = tarfile.TarInfo("random")
        info.size = int(megabytes * 1000000)
        info.mode = 0o644
        tar.addfile(info, source)
    os.replace(path + ".new", path)
    return path


def relocation(root):
    """Shell text that makes the Python below `root` (shell text too) the task's."""
    lib = f"{root}/lib"
    return (f"unset PYTHONPATH; export PATH={root}/bin:$PATH PYTHONHOME={root} "
            f"PYTHONNOUSERSITE=1 LD_LIBRARY_PATH={lib}:{lib}/{TRIPLET}:{lib}/{TRIPLET}/blas:"
            f"{lib}/{TRIPLET}/lapack")


def commit():
    """The commit of this tree, with a mark if what is built has changes."""
    name = output("git", "-C", TOP, "rev-parse", "--short", "HEAD")
    dirty = output("git", "-C", TOP, "status", "--porcelain", "--", "stage", "spank")
    return name + ("+changes" if dirty else "")


def describe(given):
    """The machine and the programs that took part. What was built elsewhere (`given` is true) is
    of a commit that only its builder knows."""
    with open("/proc/cpuinfo") as f:
        model = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    with open("/proc/meminfo") as f:
        memory = int(f.readline().split()[1]) // 1024
    with open("/etc/os-release") as f:
        distribution = re.search(r'^PRETTY_NAME="?([^"\n]*)', f.read(), re.M)
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": model.group(1) if model else os.uname().machine,
        "cpus": os.cpu_count(),
        "memory_mib": memory,
        "kernel": os.uname().release,
        "system": distribution.group(1) if distribution else "",
        "slurm": output("slurmd", "-V"),
        "mpi": output("mpirun", "--version"),
        "tar": output("tar", "--version"),
        "zstd": output("zstd", "--version"),
        "bsdtar": output("bsdtar", "--version"),
        "commit": "as installed" if given else commit(),
    }
