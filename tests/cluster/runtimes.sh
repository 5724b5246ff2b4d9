# shellcheck shell=bash
# Trees of the distribution's interpreters, for the tests of profiles.

TRIPLET=$(gcc -dumpmachine 2>/dev/null || uname -m)-linux-gnu
[[ -d /usr/lib/$TRIPLET ]] || TRIPLET=$(cd /usr/lib && echo *-linux-gnu)

# put TREE FILE...: files and directories of the system, /usr cut off, links out of the tree
# replaced by what they lead to.
put() {
    local tree=$1 path to
    shift
    for path; do
        to=$tree/${path#/usr/}
        to=${to//"$tree//"/"$tree/"}
        mkdir -p "$(dirname "$to")"
        cp -rL --preserve=mode,timestamps "$path" "$(dirname "$to")/"
    done
}

# The shared libraries that the tree's programs and libraries need, but for glibc's own.
put_libraries() { # TREE
    local lib
    find "$1" -type f \( -perm -u+x -o -name '*.so*' \) -print0 |
        xargs -0 -n 50 ldd 2>/dev/null |
        sed -nE 's,.* => (/[^ ]+) .*,\1,p' | sort -u |
        while read -r lib; do
            [[ ! $(basename "$lib") =~ ^(ld-linux|lib(c|m|dl|rt|pthread|resolv|util|mvec|anl)\.so) ]] || continue
            [[ $lib != "$1"/* ]] || continue
            mkdir -p "$1/lib/$TRIPLET"
            [[ -e $1/lib/$TRIPLET/$(basename "$lib") ]] || cp -L "$lib" "$1/lib/$TRIPLET/"
        done
    [[ -d $1/lib/$TRIPLET ]]
}

r_tree() { # TREE
    put "$1" /usr/lib/R /usr/share/R/share /usr/bin/R /usr/bin/Rscript
    rm -rf "$1"/lib/R/modules/R_X11.so "$1"/lib/R/library/{tcltk,translations}
    put_libraries "$1"
}

perl_tree() { # TREE
    put "$1" /usr/bin/perl "/usr/lib/$TRIPLET/perl" "/usr/lib/$TRIPLET/perl-base" \
        "/usr/lib/$TRIPLET/perl5" /usr/share/perl /usr/share/perl5
    put_libraries "$1"
}

node_tree() { # TREE
    put "$1" "$(readlink -f /usr/bin/node)" /usr/share/nodejs
    [[ ! -d /usr/lib/$TRIPLET/nodejs ]] || put "$1" "/usr/lib/$TRIPLET/nodejs"
    [[ -e $1/bin/node ]] || mv "$1/bin/nodejs" "$1/bin/node"
    put_libraries "$1"
}

# Tier 1 with the programs of OpenMPI, which then is whole.
openmpi_tree() { # TREE TIER1
    tar -C "$1" -xf "$2"
    put "$1" /usr/bin/orted
    cp -L /usr/bin/mpirun.openmpi "$1/bin/mpirun"
    put_libraries "$1"
}

# A virtual environment with a package of its own, and its base interpreter in base/.
venv_tree() { # TREE TIER1
    local link
    mkdir -p "$1/base"
    tar -C "$1/base" -xf "$2"
    /usr/bin/python3 -m venv --without-pip --system-site-packages "$1/venv"
    mkdir -p "$1/venv/lib/python3.11/site-packages/extra"
    echo 'import scipy.linalg as l; value = l.det([[1, 2], [3, 4]])' \
        >"$1/venv/lib/python3.11/site-packages/extra/__init__.py"
    rm -rf "$1"/venv/bin/python* "$1"/venv/lib64
    mv "$1"/venv/* "$1/"
    rmdir "$1/venv"
    for link in python python3 python3.11; do ln -s ../base/bin/python3.11 "$1/bin/$link"; done
}

# hide PATH...: on every node nothing is at these places of the system any more; `unhide` ends it.
hidden=()
hide() {
    local node path
    for node in $(node_list); do
        for path; do
            [[ -e $path ]] || continue
            # shellcheck disable=SC2016
            cluster exec "$node" sh -c '
                mkdir -p /run/empty && : >/run/nothing
                if [ -d "$0" ]; then mount --bind /run/empty "$0"; else mount --bind /run/nothing "$0"; fi' "$path" ||
                return
        done
    done
    hidden+=("$@")
}
unhide() {
    local node path
    for node in $(node_list); do
        for path in "${hidden[@]}"; do
            [[ ! -e $path ]] || cluster exec "$node" umount "$path"
        done
    done
    hidden=()
}
