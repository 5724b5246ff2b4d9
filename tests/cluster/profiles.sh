#!/usr/bin/env bash
# Real interpreters from a staged tree, while their own places on the nodes are empty; what bundles
# say of themselves; pbcast env and pbcast leaks.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
. "$here/runtimes.sh"
SITE_KEYS=(timeout=120)
CLUSTER_OPTIONS=(--store-size 3g)

set_up() {
    unhide
    plugstack "${SITE_KEYS[@]}"
}

# bundle_of NAME FUNCTION [ARGUMENT...]: $bundle, made once, of the tree that FUNCTION fills.
bundle_of() {
    local name=$1 fill=$2
    shift 2
    bundle=/shared/$name.tar.zst
    [[ ! -e $SHARED/$name.tar.zst ]] || return 0
    rm -rf "${SHARED:?}/$name.tree"
    mkdir "$SHARED/$name.tree"
    "$fill" "$SHARED/$name.tree" "$@" || fail "cannot make a tree of $name" || return
    tar -C "$SHARED/$name.tree" -c . | zstd -q -3 >"$SHARED/$name.tar.zst"
    chmod 644 "$SHARED/$name.tar.zst"
    rm -rf "${SHARED:?}/$name.tree"
}
tier1() {
    bundle=/shared/tier1.tar.gz
    [[ -e $SHARED/tier1.tar.gz ]] ||
        "$top/container/make-tier1" --cache "${PBC_TEST_CACHE:-/var/tmp/pbcast-cache}" "$SHARED/tier1.tar.gz" \
            >"$SHARED/tier1.log" 2>&1 || fail "make-tier1: $(tail -5 "$SHARED/tier1.log")"
}

# on_four PROGRAM ARGUMENT...: the program of the bundle on four nodes, first as it is, then under
# pbcast leaks. Each node's output must have the line "value WORD".
on_four() {
    local word=$1
    shift
    capture srun -N4 --ntasks-per-node=1 --chdir=/ --pbcast-bundle="$bundle" "$@"
    expect_rc 0 && expect_count 4 "value $word" || return
    capture srun -N4 --ntasks-per-node=1 --chdir=/ --pbcast-bundle="$bundle" "$PREFIX/bin/pbcast" leaks --all -- "$@"
    expect_rc 0 && expect_count 4 "value $word" && expect_count 4 "; 0 leaks" && nothing_left
}

test_scipy_runs_where_the_node_has_no_python() {
    tier1 && hide /usr/lib/python3 /usr/lib/python3.11 /usr/bin/python3.11 || return
    on_four -2.0 python3 -c 'import scipy.linalg as l; print("value", round(l.det([[1, 2], [3, 4]]), 3))'
    local rc=$?
    unhide
    return $rc
}

test_a_venv_runs_with_its_base_and_its_own_package() {
    tier1 && bundle_of venv venv_tree "$SHARED/tier1.tar.gz" &&
        hide /usr/lib/python3 /usr/lib/python3.11 /usr/bin/python3.11 || return
    on_four -2.0 python3 -c 'import sys, extra; print("value", round(extra.value, 3)); assert sys.prefix != sys.base_prefix'
    local rc=$?
    unhide
    return $rc
}

test_r_runs_with_a_package_that_has_a_compiled_part() {
    bundle_of r r_tree && hide /usr/lib/R /usr/share/R /etc/R /usr/bin/R /usr/bin/Rscript || return
    on_four '[1,2]' Rscript -e 'cat("value ", jsonlite::toJSON(c(1, 2)), "\n", sep = "")' &&
        on_four 10 R --slave -e 'cat("value ", sum(solve(diag(10))), "\n", sep = "")'
    local rc=$?
    unhide
    return $rc
}

test_perl_runs_with_a_compiled_module() {
    bundle_of perl perl_tree &&
        hide /usr/bin/perl /etc/perl /usr/share/perl /usr/share/perl5 /usr/lib/"$TRIPLET"/{perl,perl5,perl-base} || return
    # shellcheck disable=SC2016
    on_four '{"a":1}' perl -MJSON::XS -e 'print "value ", encode_json({a => 1}), "\n"'
    local rc=$?
    unhide
    return $rc
}

test_node_runs_with_a_package() {
    bundle_of node node_tree && hide "$(readlink -f /usr/bin/node)" /usr/share/nodejs /usr/lib/node_modules || return
    on_four true node -e 'console.log("value", require("semver").satisfies("1.2.3", "^1.0"))'
    local rc=$?
    unhide
    return $rc
}

test_mpirun_of_the_tree_finds_its_daemons_there() {
    tier1 && bundle_of openmpi openmpi_tree "$SHARED/tier1.tar.gz" &&
        hide /usr/bin/orted /usr/bin/mpirun.openmpi /usr/share/openmpi /usr/lib/"$TRIPLET"/openmpi || return
    # shellcheck disable=SC2016
    script 'mpirun -np 4 --map-by node python -c "
import os
from mpi4py import MPI
print(\"value\", MPI.COMM_WORLD.allreduce(1), os.environ[\"OPAL_PREFIX\"] == os.environ[\"PBCAST_ROOT\"])"'
    batch -N4 --ntasks-per-node=1 --pbcast-bundle="$bundle"
    expect_rc 0 && expect_count 4 'value 4 True' && nothing_left
    local rc=$?
    unhide
    return $rc
}

# Not a conda: what its packages look like. Text and a program hold the long prefix for which they
# were built.
LONG=/opt/build/$(printf 'placehold_%.0s' {1..24})
conda_tree() {
    mkdir -p "$1"/{.pbcast,bin,conda-meta,etc}
    echo '{"name": "tool", "version": "1.0"}' >"$1/conda-meta/tool-1.0-0.json"
    printf '#!/bin/sh\necho "text %s/etc"\n' "$LONG" >"$1/bin/text"
    chmod 755 "$1/bin/text"
    printf 'int puts(const char *); int main(void) { puts("binary %s/etc:" "%s/lib"); return puts("after") < 0; }' "$LONG" "$LONG" |
        gcc -x c -o "$1/bin/binary" - || return
    cat >"$1/.pbcast/bundle.conf" <<END
pbcast-bundle=1
profile=conda
origin=/opt/conda
set=TOOL_DATA=@ROOT@/share/it's here
prepend=XDG_DATA_DIRS=@ROOT@/share
unset=TOOL_OLD
placeholder=$LONG
rewrite=text bin/text
rewrite=binary bin/binary
END
}

# The first member is the bundle's configuration.
conda_bundle() {
    bundle=/shared/conda.tar.zst
    [[ ! -e $SHARED/conda.tar.zst ]] || return 0
    rm -rf "$SHARED/conda.tree"
    conda_tree "$SHARED/conda.tree" || fail 'no fixture' || return
    tar -C "$SHARED/conda.tree" -c .pbcast/bundle.conf bin conda-meta etc | zstd -q >"$SHARED/conda.tar.zst"
    chmod 644 "$SHARED/conda.tar.zst"
}

test_a_conda_prefix_gets_the_path_of_the_tree() {
    conda_bundle || return
    # shellcheck disable=SC2016
    capture env PYTHONPATH=/x PYTHONHOME=/y TOOL_OLD=1 srun -N4 --ntasks-per-node=1 --pbcast-bundle="$bundle" sh -c '
        text >/tmp/out && binary >>/tmp/out
        printf "text %s/etc\nbinary %s/etc:%s/lib\nafter\n" "$PBCAST_ROOT" "$PBCAST_ROOT" "$PBCAST_ROOT" | cmp - /tmp/out && echo same
        rm /tmp/out
        [ "$CONDA_PREFIX" = "$PBCAST_ROOT" ] && [ -z "${PYTHONPATH+x}${PYTHONHOME+x}${TOOL_OLD+x}" ] && echo clean
        [ "$TOOL_DATA" = "$PBCAST_ROOT/share/it'"'s"' here" ] && echo own
        [ "$XDG_DATA_DIRS" = "$PBCAST_ROOT/share" ] && echo list
        [ ! -e "$PBCAST_ROOT/.pbcast" ] && echo gone
        [ -z "${LD_LIBRARY_PATH+x}" ] && echo no-libs'
    expect_rc 0 || return
    for w in same clean own list gone no-libs; do expect_count 4 "$w" || return; done
    nothing_left
}

test_what_a_bundle_set_is_gone_in_a_step_without_it() {
    conda_bundle || return
    simple_bundle other
    # shellcheck disable=SC2016
    script 'echo "in $TOOL_DATA"
srun -N1 --pbcast-bundle=none sh -c "echo [\$TOOL_DATA\$XDG_DATA_DIRS\$CONDA_PREFIX\$PYTHONNOUSERSITE\$PBCAST_VARIABLES]"
srun -N1 --pbcast-bundle='"$bundle"' sh -c "echo {\$TOOL_DATA\$XDG_DATA_DIRS\$CONDA_PREFIX}; hello"'
    batch -N1 --pbcast-bundle=/shared/conda.tar.zst
    expect_rc 0 && expect_out "in $STORE/" && expect_out '[]' && expect_out '{}' && expect_out 'other from' && nothing_left
}

test_a_root_that_does_not_fit_into_binary_files_is_refused() {
    new_dir
    mkdir -p "$dir/t/.pbcast" "$dir/t/bin"
    printf 'pbcast-bundle=1\nplaceholder=/opt/short\nrewrite=binary bin/x\n' >"$dir/t/.pbcast/bundle.conf"
    echo /opt/short >"$dir/t/bin/x"
    tar -C "$dir/t" -cf "$dir/b.tar" .pbcast/bundle.conf bin
    capture srun -N4 --ntasks-per-node=1 --pbcast-bundle="$udir/b.tar" true
    expect_failure && expect_count 1 "does not fit into 'bin/x'" && nothing_left
}

test_what_a_bundle_must_not_say_is_refused() {
    local line
    for line in 'set=SLURM_JOB_ID=1' 'set=LD_PRELOAD=/x.so' 'unset=PMIX_RANK' 'profile=cobol' 'rewrite=text ../x' 'profile=r'; do
        new_dir
        mkdir -p "$dir/t/.pbcast" "$dir/t/bin"
        printf 'pbcast-bundle=1\nplaceholder=/opt/long/placeholder\n%s\n' "$line" >"$dir/t/.pbcast/bundle.conf"
        tar -C "$dir/t" -cf "$dir/b.tar" .pbcast/bundle.conf bin
        capture srun -N4 --ntasks-per-node=1 --pbcast-bundle="$udir/b.tar" echo ran
        expect_failure && expect_no_line ran || return
        # the tree is looked at when all bundles are unpacked
        if [[ $line == profile=r ]]; then
            expect_count 1 'profile is r' || return
        else
            expect_count 1 "$udir/b.tar" || return
        fi
    done
    nothing_left
}

test_julia_is_told_of_its_depots() {
    new_dir
    mkdir -p "$dir/t/bin" "$dir/t/depot/packages" "$dir/t/share/julia/stdlib"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\n[ "$JULIA_DEPOT_PATH" = "$PBCAST_ROOT/depot:$PBCAST_ROOT/share/julia" ] && [ -z "${JULIA_LOAD_PATH+x}" ] && echo julia-ok\n' >"$dir/t/bin/julia"
    chmod 755 "$dir/t/bin/julia"
    tar -C "$dir/t" -cf "$dir/b.tar" .
    capture env JULIA_LOAD_PATH=/x srun -N4 --ntasks-per-node=1 --pbcast-bundle="$udir/b.tar" julia
    expect_rc 0 && expect_count 4 julia-ok && nothing_left
}

test_env_without_the_plugin_puts_a_script_into_the_tree() {
    conda_bundle || return
    # shellcheck disable=SC2016
    script 'set -e
srun -N4 --ntasks-per-node=1 --mpi=pmix pbcast-stage '"$bundle"'
eval "$(pbcast env)"
[ -n "$PBCAST_ROOT" ] && srun -N4 --ntasks-per-node=1 sh -c '"'"'[ "$CONDA_PREFIX" = "$PBCAST_ROOT" ] && text'"'"'
eval "$(pbcast env)"; echo "$PATH" | tr : "\n" | grep -c "^$PBCAST_ROOT/bin" | sed s/^/times=/
pbcast env --shell=json | python3 -c "import json, os, sys; d = json.load(sys.stdin); print(\"json\", d[\"PBCAST_ROOT\"] == os.environ[\"PBCAST_ROOT\"])"
pbcast env --profile=r || echo "no=$?"
pbcast env --set=xyz || echo "no=$?"
srun -N4 --ntasks-per-node=1 rm -rf "/dev/shm/pbcast-$UID/$SLURM_JOB_ID"
env -u PBCAST_ROOT pbcast env || echo "no=$?"'
    plugstack_none
    batch -N4 --export=ALL,PATH="$PREFIX/bin:$SYSTEM_PATH"
    plugstack "${SITE_KEYS[@]}"
    expect_rc 0 && expect_count 4 "text /dev/shm/pbcast-" && expect_out 'times=1' && expect_out 'json True' &&
        expect_out 'no=3' && expect_out 'no=2' && expect_out 'no=1' && expect_out 'nothing is staged on this node'
}
plugstack_none() { cluster plugstack; }

test_leaks_names_what_is_outside_and_why() {
    tier1 || return
    mkdir -p "$SHARED/home/alice/app" "$SHARED/home/alice/lib"
    echo 'import helper, extra; print("value", helper.x)' >"$SHARED/home/alice/app/main.py"
    echo 'x = 1' >"$SHARED/home/alice/app/helper.py"
    echo 'x = 1' >"$SHARED/home/alice/lib/extra.py"
    # shellcheck disable=SC2016
    capture srun -N4 --ntasks-per-node=1 --chdir=/ --pbcast-bundle="$bundle" sh -c '
        PYTHONPATH='"$USER_HOME"'/lib '"$PREFIX"'/bin/pbcast leaks --shared=/shared --output=/tmp/report -- python3 '"$USER_HOME"'/app/main.py; echo status=$?; cat /tmp/report; rm /tmp/report'
    expect_rc 0 && expect_count 4 'value 1' && expect_count 4 'status=3' && expect_count 4 '/shared (' &&
        expect_count 4 'directory of the script: ' &&
        expect_count 4 'variable PYTHONPATH: ' && expect_count 4 '/app/helper.py' && expect_count 4 '/lib/extra.py' || return
    capture srun -N4 --ntasks-per-node=1 --chdir=/ --pbcast-bundle="$bundle" sh -c \
        "$PREFIX/bin/pbcast leaks -- sh -c 'exit 7'; echo status=\$?"
    expect_count 4 'sh ended with status 7' && expect_count 4 'status=1' && nothing_left
}

test_leaks_tells_libraries_by_runpath() {
    local lib=$SHARED/home/alice/runpath
    new_dir
    mkdir -p "$dir/t/bin" "$lib"
    echo 'int x(void) { return 5; }' | gcc -shared -fPIC -Wl,-soname,libx.so -x c -o "$lib/libx.so" - &&
        echo 'int x(void); int main(void) { return x() != 5; }' |
        gcc -x c -o "$dir/t/bin/prog" - -x none "$lib/libx.so" -Wl,-rpath,"$USER_HOME/runpath" || return
    tar -C "$dir/t" -cf "$dir/b.tar" .
    chmod -R go+rX "$lib" "$dir"
    capture srun -N1 --chdir=/ --pbcast-bundle="$udir/b.tar" "$PREFIX/bin/pbcast" leaks --shared=/shared -- prog
    expect_rc 3 && expect_out 'shared libraries by RUNPATH: 1 file opened' && expect_out "$USER_HOME/runpath/libx.so" &&
        grep -q "by RUNPATH $USER_HOME/runpath of $STORE/.*/bin/prog" <<<"$out" || fail 'the file with the RUNPATH is not named' || return
    # of the interpreter that the kernel starts for a script: in the tree, and outside, where it is a leak too
    cp "$dir/t/bin/prog" "$lib/interp"
    printf '#!%s/runpath/interp\n' "$USER_HOME" >"$dir/t/bin/script" && chmod 755 "$dir/t/bin/script" "$lib/interp"
    tar -C "$dir/t" -cf "$dir/s.tar" .
    chmod -R go+rX "$lib" "$dir"
    capture srun -N1 --chdir=/ --pbcast-bundle="$udir/s.tar" "$PREFIX/bin/pbcast" leaks --shared=/shared -- script
    expect_rc 3 && expect_out 'programs outside the tree: 1 file opened 1 time' && expect_out "$USER_HOME/runpath/interp" &&
        grep -q "by RUNPATH $USER_HOME/runpath of $USER_HOME/runpath/interp" <<<"$out" || fail 'the interpreter with the RUNPATH is not named' || return
    rm "$dir/t/bin/script"
    # by a link to another directory, and one of a library that $ORIGIN does not keep inside
    mkdir -p "$lib/real" "$dir/t/lib"
    mv "$lib/libx.so" "$lib/real/libx.so.1.2" && ln -s real/libx.so.1.2 "$lib/libx.so"
    # shellcheck disable=SC2016
    echo 'int x(void); int y(void) { return x(); }' | gcc -shared -fPIC -Wl,-soname,liby.so -x c -o "$dir/t/lib/liby.so" - -x none "$lib/libx.so" -Wl,-rpath,"$USER_HOME/runpath/" &&
        echo 'int y(void); int main(void) { return y() != 5; }' |
        gcc -x c -o "$dir/t/bin/prog" - -x none "$dir/t/lib/liby.so" -Wl,-rpath,'$ORIGIN/../lib' -Wl,--allow-shlib-undefined || return
    tar -C "$dir/t" -cf "$dir/c.tar" .
    chmod -R go+rX "$lib" "$dir"
    capture srun -N1 --chdir=/ --pbcast-bundle="$udir/c.tar" "$PREFIX/bin/pbcast" leaks --shared=/shared -- prog
    expect_rc 3 && expect_out "$USER_HOME/runpath/real/libx.so.1.2" &&
        grep -q "by RUNPATH $USER_HOME/runpath/ of $STORE/.*/lib/liby.so" <<<"$out" || fail 'the library with the RUNPATH is not named' || return
    # what is looked for in vain, the C library in directories for processors too, has the same cause
    echo 'int main(void) { return 0; }' | gcc -x c -o "$dir/t/bin/prog" - -Wl,-rpath,"$USER_HOME/gone" || return
    tar -C "$dir/t" -cf "$dir/d.tar" .
    capture srun -N1 --chdir=/ --pbcast-bundle="$udir/d.tar" "$PREFIX/bin/pbcast" leaks --names --shared=/shared -- prog
    expect_rc 3 && expect_out "(not opened) $USER_HOME/gone/libc.so.6" && expect_out 'shared libraries by RUNPATH: 0 files opened' &&
        expect_out "by RUNPATH $USER_HOME/gone of $STORE/" || return
    out=$(sed -n '/^\/shared /,/^\/usr /p' <<<"$out")
    expect_no '  other: ' && expect_no '  loader, libc' || return
    nothing_left
}

main "$@"
