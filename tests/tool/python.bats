#!/usr/bin/env bats
# pbcast bundle of Python trees: compiled modules.
load support

PYTHON=/usr/bin/python3

# A prefix with an interpreter, its library linked, and a package without compiled modules.
prefix() {
    version=$($PYTHON -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    tag=$($PYTHON -c 'import sys; print(sys.implementation.cache_tag)')
    lib=lib/python$version
    mkdir -p t/bin "t/$lib/site-packages/pkg"
    cp "$(realpath $PYTHON)" "t/bin/python$version"
    ln -s "python$version" t/bin/python3
    : >"t/$lib/os.py"
    printf 'answer = 42\n' >"t/$lib/site-packages/pkg/__init__.py"
    printf 'def broken(:\n' >"t/$lib/site-packages/pkg/bad.py"
    touch -d '2020-02-02 02:02:02.5' "t/$lib/site-packages/pkg/__init__.py"
}
# The interpreter finds its real library: the tree's is a stub.
bundle() { pbcast bundle prefix t --python $PYTHON -o b.tar.zst "$@"; }

@test "modules without a valid compiled one are compiled into the bundle, not beside the source" {
    prefix
    bundle
    done_well
    says "had no valid .pyc: 2"
    says "that do not compile: 1"
    [[ -z $(find t -name '*.pyc') ]]
    unpack b.tar.zst
    run $PYTHON -v -c 'import sys; sys.path.insert(0, sys.argv[1]); import pkg; print(pkg.answer)' "out/$lib/site-packages"
    done_well
    says 42
    says "pkg/__pycache__/__init__.$tag.pyc matches"
    says_no "# wrote '$PWD"
    pbcast inspect b.tar.zst
    says "profile    python, by what the tree holds"
}

@test "a stale one is replaced, a valid one kept" {
    prefix
    (cd "t/$lib/site-packages" && $PYTHON -m compileall -q pkg/__init__.py)
    cp -a t valid
    bundle
    done_well
    says "had no valid .pyc: 1"
    unpack b.tar.zst
    cmp "t/$lib/site-packages/pkg/__pycache__/__init__.$tag.pyc" "out/$lib/site-packages/pkg/__pycache__/__init__.$tag.pyc"
    printf 'answer = 43\n' >"t/$lib/site-packages/pkg/__init__.py"
    bundle
    done_well
    says "had no valid .pyc: 2"
    unpack b.tar.zst new
    run $PYTHON -B -c 'import sys; sys.path.insert(0, sys.argv[1]); import pkg; print(pkg.answer)' "new/$lib/site-packages"
    says 43
}

@test "with compiled modules it is the same bytes as well" {
    prefix
    for i in $(seq 50); do printf 'def f%d(a, b={"x": 1, "y": (%d, "s")}): return {a, "k%d"} | {1, 2}\n' $i $i $i >"t/$lib/m$i.py"; done
    bundle
    cp b.tar.zst first.tar.zst
    PYTHONHASHSEED=77 bundle
    cmp b.tar.zst first.tar.zst
    run taskset -c 0 "$PBC_TOOL" bundle prefix t --python $PYTHON -o b.tar.zst
    cmp b.tar.zst first.tar.zst
}

@test "they are not compiled where they are not wanted" {
    prefix
    bundle --no-compile
    done_well
    [[ -z $(tar -tf b.tar.zst | grep pyc) ]]
    bundle --exclude __pycache__
    done_well
    [[ -z $(tar -tf b.tar.zst | grep pyc) ]]
    pbcast bundle dir t -o b.tar.zst
    done_well
    [[ -z $(tar -tf b.tar.zst | grep pyc) ]]
    pbcast bundle dir t --python $PYTHON -o b.tar.zst
    done_well
    [[ -n $(tar -tf b.tar.zst | grep pyc) ]]
}

@test "an interpreter that does not work" {
    prefix
    printf '#!/bin/sh\nexit 1\n' >fake
    chmod 755 fake
    pbcast bundle prefix t --python ./fake -o b.tar.zst
    refused "./fake does not compile modules: is it a Python 3"
    left_nothing
    pbcast bundle prefix t --python ./nosuch -o b.tar.zst
    refused "cannot run ./nosuch"
    left_nothing
    printf '#!/bin/sh\nhead -c 100000 /dev/zero | tr "\\0" "\\377"\n' >fake
    pbcast bundle prefix t --python ./fake -o b.tar.zst
    refused "./fake gives a compiled module of"
    left_nothing
}

@test "hostile sources do no harm" {
    prefix
    printf 'x = (%s' "$(printf '%.0s(' {1..5000})" >"t/$lib/deep.py"
    printf '\0\0\0' >"t/$lib/nul.py"
    printf '# coding: nosuch\n' >"t/$lib/coding.py"
    : >"t/$lib/-c.py"
    printf 'y = 1' >"t/$lib/\$(touch pwned).py"
    bundle
    done_well
    [[ ! -e pwned ]]
}
