# shellcheck shell=bash
# Bundles for the cluster tests.

# Sets $dir to a new directory in which to make a bundle, $udir to how the cluster sees it.
new_dir() {
    dir=$(mktemp -d "$SHARED/home/alice/b-XXXXXX")
    chmod 755 "$dir"
    udir=$USER_HOME/${dir##*/}
    cp "$here/fingerprint" "$dir/"
}

# A tree with everything that a bundle can have.
fill_tree() { # DIR
    local deep
    mkdir -p "$1"/{bin,lib/deep/er,share/empty}
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "hello from $PBCAST_ROOT"\n' >"$1/bin/hello"
    chmod 755 "$1/bin/hello"
    ln -s hello "$1/bin/hi"
    ln "$1/bin/hello" "$1/bin/hard"
    : >"$1/share/empty/file"
    head -c 3000000 /dev/urandom >"$1/lib/deep/er/random"
    yes 'compressible text' | head -c 5000000 >"$1/lib/text"
    touch -d '2011-11-11 11:11:11' "$1/lib/text" "$1/lib/deep/er/random"
    printf 'x' >"$1/lib/$(printf 'long%.0s' {1..50})"
    deep=$1/$(printf 'a-directory-with-a-long-name/%.0s' {1..8})
    mkdir -p "$deep"
    printf 'pax' >"$deep/file"
    printf 'utf-8' >"$1/lib/Grüße"
    truncate -s 3000000 "$1/lib/sparse"
    printf 'end' >>"$1/lib/sparse"
    chmod 555 "$1/lib/deep"
}

# simple_bundle WORD [MIB]: $bundle (the user's path) and $file (ours): bin/hello that says WORD, and
# MIB of bytes that cannot be compressed.
simple_bundle() {
    new_dir
    mkdir -p "$dir/t/bin" "$dir/t/data"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "%s from $PBCAST_ROOT"\n' "$1" >"$dir/t/bin/hello"
    chmod 755 "$dir/t/bin/hello"
    head -c "$((${2:-0} << 20))" /dev/urandom >"$dir/t/data/random"
    tar -C "$dir/t" -cf "$dir/bundle.tar" .
    file=$dir/bundle.tar
    bundle=$udir/bundle.tar
}
