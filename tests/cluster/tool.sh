#!/usr/bin/env bash
# Bundles that pbcast(1) makes, in jobs: what they were made of is out of reach then.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(timeout=120)
CLUSTER_OPTIONS=(--store-size 3g)

pbcast() { "$PREFIX/bin/pbcast" "$@"; }

# The distribution's Python with SciPy as an installed prefix: $prefix, made once.
prefix() {
    prefix=$SHARED/python
    [[ -d $prefix ]] && return
    "$top/container/make-tier1" --cache "${PBC_TEST_CACHE:-/var/tmp/pbcast-cache}" "$SHARED/tier1.tar.gz" >"$SHARED/tier1.log" 2>&1 ||
        fail "make-tier1: $(tail -5 "$SHARED/tier1.log")" || return
    mkdir "$prefix.new"
    tar -C "$prefix.new" -xf "$SHARED/tier1.tar.gz" && find "$prefix.new" -name __pycache__ -prune -exec rm -r {} + &&
        mv "$prefix.new" "$prefix" && rm "$SHARED/tier1.tar.gz"
}

# Runs CMD with output in $out, status in $rc.
made() {
    out=$("$@" 2>&1)
    rc=$?
    expect_rc 0
}

# Of PYTHONVERBOSE=1: compiled modules of PACKAGE are used on all nodes, and none is made there.
expect_compiled() { # PACKAGE
    (($(grep -cE "matches .*/$1[./]" <<<"$out") >= 4)) || fail "compiled modules of $1 are not used" || return
    out=$(grep -E '# wrote|bytecode is stale' <<<"$out")
    [[ -z $out ]] || fail "recompiled:"
}

test_bundle_prefix_of_a_python_with_scipy_runs_on_4_nodes() {
    prefix || return
    made pbcast bundle prefix "$prefix" --python /usr/bin/python3 -o "$SHARED/python.tar.zst" || return
    made pbcast inspect -q "$SHARED/python.tar.zst" && expect_out "profile    python" || return
    mv "$prefix" "$prefix.hidden"
    capture_said -N4 --pbcast-bundle=/shared/python.tar.zst python -v -c 'import scipy.linalg; print("imported", scipy.__file__)'
    mv "$prefix.hidden" "$prefix"
    expect_rc 0 && expect_count 4 "imported $STORE/" || return
    (($(grep -c 'matches .*\.py' <<<"$out") > 400)) || fail "compiled modules are not used" || return
    expect_compiled scipy && nothing_left
}

test_bundle_dir_overlays_the_interpreter() {
    prefix || return
    [[ -e $SHARED/python.tar.zst ]] || made pbcast bundle prefix "$prefix" -o "$SHARED/python.tar.zst" || return
    made pbcast bundle dir "$top/container/app" --at app -o "$SHARED/app.tar.zst" || return
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-bundle=/shared/python.tar.zst,/shared/app.tar.zst sh -c 'ls $PBCAST_ROOT/app/app.py; ls -d $PBCAST_ROOT/.pbcast'
    expect_count 4 "/app/app.py" && expect_out "No such file" && nothing_left
}

test_bundle_venv_runs_without_the_python_that_it_was_made_with() {
    new_dir
    /usr/bin/python3 -m venv --without-pip "$dir/v" && printf 'def f(): return "of the environment"\n' >"$(echo "$dir"/v/lib/python3*/site-packages)/mine.py" || return
    printf '#!%s/v/bin/python3\nimport mine\nprint("script", mine.f())\n' "$dir" >"$dir/v/bin/script"
    chmod 755 "$dir/v/bin/script"
    made pbcast bundle venv "$dir/v" -o "$dir/v.tar.zst" || return
    rm -r "$dir/v"
    capture srun -N4 --pbcast-bundle="$udir/v.tar.zst" python -c 'import sys, ssl, sqlite3, mine; print("in", sys.prefix, ssl.__file__, mine.__file__)'
    expect_rc 0 && expect_count 4 "in $STORE/" && expect_no " /usr/" || return
    capture srun -N4 --pbcast-bundle="$udir/v.tar.zst" script
    expect_rc 0 && expect_count 4 "script of the environment" || return
    capture_said -N4 --export=ALL,PYTHONVERBOSE=1 --pbcast-bundle="$udir/v.tar.zst" script
    expect_rc 0 && expect_compiled mine && nothing_left
}

# The distribution's Python, linked to its library in DIR by an absolute RUNPATH, as pyenv builds it.
python_with_runpath() { # DIR
    local library
    library=$(echo "/usr/lib/"*"/libpython3.11.so.1.0")
    mkdir -p "$1/bin" "$1/lib" && cp "$library" "$1/lib/" && cp -a /usr/lib/python3.11 "$1/lib/" || return
    rm -rf "$1"/lib/python3.11/{sitecustomize.py,config-*}
    printf 'int Py_BytesMain(int, char **);\nint main(int n, char **a) { return Py_BytesMain(n, a); }\n' |
        gcc -x c - -x none "$library" -o "$1/bin/python3.11" -Wl,-rpath,"$1/lib" && ln -s python3.11 "$1/bin/python3"
}

test_a_venv_of_a_python_that_was_built_with_its_place_does_not_look_there() {
    local run
    new_dir
    python_with_runpath "$dir/built" && "$dir/built/bin/python3" -m venv --without-pip "$dir/v" || fail "cannot make a Python" || return
    made pbcast bundle venv "$dir/v" -o "$dir/v.tar.zst" || return
    made pbcast check -a "$dir/v.tar.zst" -q
    expect_no "library paths" || return
    chmod -R go+rX "$dir"
    run='import sys, ssl, sqlite3, ctypes; print("prefix", sys.prefix)'
    capture srun -N4 --chdir=/ --pbcast-bundle="$udir/v.tar.zst" "$PREFIX/bin/pbcast" leaks --shared="$dir" -- python -c "$run"
    expect_rc 0 && expect_count 4 "prefix $STORE/" && expect_count 4 "; 0 leaks" || return
    rm -r "$dir/built" "$dir/v"
    capture srun -N4 --chdir=/ --pbcast-bundle="$udir/v.tar.zst" env -u LD_LIBRARY_PATH python -c "$run"
    expect_rc 0 && expect_count 4 "prefix $STORE/" && nothing_left
}

# A prefix with a long placeholder in it, as conda installs it; every node puts its own path there.
test_bundle_conda_learns_on_each_node_where_it_lies() {
    local long
    new_dir
    long=/opt/$(printf 'placehold_%.0s' {1..20})
    mkdir -p "$dir/env/bin" "$dir/env/conda-meta"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\n[ "%s" = "$PBCAST_ROOT" ] && echo "knows its place"\n' "$dir/env" >"$dir/env/bin/where"
    chmod 755 "$dir/env/bin/where"
    printf '{"paths_data": {"paths": [{"_path": "bin/where", "file_mode": "text", "prefix_placeholder": "%s"}]}}' "$long" >"$dir/env/conda-meta/x-1-0.json"
    made pbcast bundle conda "$dir/env" -o "$dir/env.tar.zst" || return
    rm -r "$dir/env"
    capture srun -N4 --pbcast-bundle="$udir/env.tar.zst" where
    expect_rc 0 && expect_count 4 "knows its place" && nothing_left
}

test_bundle_pip_and_system_libs_go_on_top() {
    prefix || return
    [[ -e $SHARED/python.tar.zst ]] || made pbcast bundle prefix "$prefix" -o "$SHARED/python.tar.zst" || return
    new_dir
    mkdir "$dir/src" && printf 'def main(): print("the package says hello")\n' >"$dir/src/pbcmod.py" || return
    (cd "$dir" && /usr/bin/python3 - <<'EOF'
import zipfile
info = "pbcmod-1.0.dist-info"
files = {"pbcmod.py": open("src/pbcmod.py").read(),
         info + "/METADATA": "Metadata-Version: 2.1\nName: pbcmod\nVersion: 1.0\n",
         info + "/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
         info + "/entry_points.txt": "[console_scripts]\nhello = pbcmod:main\n"}
with zipfile.ZipFile("pbcmod-1.0-py3-none-any.whl", "w") as z:
    for name, text in files.items():
        z.writestr(name, text)
    z.writestr(info + "/RECORD", "".join(n + ",,\n" for n in files) + info + "/RECORD,,\n")
EOF
    ) || return
    made pbcast bundle pip pbcmod --python /usr/bin/python3 --no-index --find-links "$dir" -q -o "$dir/pip.tar.zst" -- --break-system-packages || return
    made pbcast bundle system-libs -q -o "$dir/libs.tar.zst" -- /usr/bin/python3 -c 'import ssl' || return
    capture srun -N4 --pbcast-bundle="/shared/python.tar.zst,$udir/pip.tar.zst,$udir/libs.tar.zst" hello
    expect_rc 0 && expect_count 4 "the package says hello" || return
    capture_said -N4 --export=ALL,PYTHONVERBOSE=1 --pbcast-bundle="/shared/python.tar.zst,$udir/pip.tar.zst,$udir/libs.tar.zst" hello
    expect_rc 0 && expect_compiled pbcmod || return
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-bundle="/shared/python.tar.zst,$udir/pip.tar.zst,$udir/libs.tar.zst" sh -c 'ls $PBCAST_ROOT/lib/libssl.so.3'
    expect_rc 0 && expect_count 4 libssl.so.3 && nothing_left
}

test_bundle_module_brings_what_the_module_points_at() {
    new_dir
    mkdir -p "$dir/sw/bin" "$dir/sw/share" "$dir/files"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "level $SW_LEVEL, data $(cat "$SW_HOME/share/data")"\n' >"$dir/sw/bin/prog"
    chmod 755 "$dir/sw/bin/prog"
    echo here >"$dir/sw/share/data"
    printf '#%%Module\nprepend-path PATH %s/sw/bin\nsetenv SW_HOME %s/sw\nsetenv SW_LEVEL 3\n' "$dir" "$dir" >"$dir/files/sw"
    made env -u MODULESHOME -u LOADEDMODULES MODULEPATH="$dir/files" "$PREFIX/bin/pbcast" bundle module sw -o "$dir/sw.tar.zst" || return
    rm -r "$dir/sw" "$dir/files"
    capture srun -N4 --pbcast-bundle="$udir/sw.tar.zst" prog
    expect_rc 0 && expect_count 4 "level 3, data here" && nothing_left
}

main "$@"
