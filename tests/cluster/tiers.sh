#!/usr/bin/env bash
# Bundles by name, and the layers of a set: what the site keeps, what the user adds.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(stall=10 timeout=60 min_free=4M catalog=/shared/catalog)

set_up() {
    printf 'pbcast-catalog=1\n' >"$SHARED/catalog"
    chmod 644 "$SHARED/catalog"
    plugstack "${SITE_KEYS[@]}"
}

# entry NAME/VERSION WORD [LINE...]: a bundle with bin/hello that says WORD, and its entry.
entry() {
    local name=$1 word=$2
    shift 2
    simple_bundle "$word"
    {
        printf 'bundle=%s\npath=%s\ndigest=%s\n' "$name" "$bundle" "$(b2sum -l 256 "$file" | cut -d' ' -f1)"
        (($# == 0)) || printf '%s\n' "$@"
    } >>"$SHARED/catalog"
}
no_allocation() { # nothing was given to a job
    (($(as_user squeue -ho %i | wc -l) == 0)) || fail "there is a job"
}

# ---- the catalogue ----

test_a_name_stages_the_sites_bundle_on_every_node() {
    set_up
    entry python/3.11 eleven default=yes
    entry python/3.12 twelve
    capture srun -N4 --pbcast-bundle=python/3.12 hello
    expect_rc 0 && expect_count 4 "twelve from" || return
    capture srun -N4 --pbcast-bundle=python hello
    expect_rc 0 && expect_count 4 "eleven from" || return
    simple_bundle mine
    capture srun -N4 --pbcast-bundle="python,$bundle" hello
    expect_rc 0 && expect_count 4 "mine from" && expect_out "staged 2 bundles" && nothing_left
}

test_sbatch_and_salloc_take_names_and_their_sruns_too() {
    set_up
    entry python/3.11 eleven
    script 'cd /; hello; srun hello; srun --pbcast-bundle=python hello; echo $SLURM_PBCAST_BUNDLES'
    batch -N4 --pbcast-bundle=python
    expect_rc 0 && expect_count 9 "eleven from" && expect_count 1 "pbcast: staged" &&
        expect_out python/3.11 || return
    capture salloc -Q -N2 --pbcast-bundle=python/3.11 bash -c 'cd /; srun hello; srun hello'
    expect_rc 0 && expect_count 4 "eleven from" && nothing_left
}

test_an_unknown_name_is_answered_with_near_ones() {
    set_up
    entry python/3.11 eleven
    capture srun -N4 --pbcast-bundle=pyhton/3.11 hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_out "near it are python/3.11" || return
    script hello
    batch -N4 --pbcast-bundle=python/3.10
    expect_failure && expect_out "no python/3.10; near it are python/3.11" && no_allocation || return
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-bundle='python/$(id)' hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_no uid= && no_allocation && nothing_left
}

test_a_file_of_the_same_name_is_not_shadowed() {
    set_up
    entry hello.tar/1 named
    simple_bundle mine
    cp "$file" "$dir/hello.tar"
    out=$(as_user bash -c "cd $udir && srun -N2 --pbcast-bundle=hello.tar hello" 2>&1)
    rc=$?
    expect_failure && expect_out "is a name of the site's catalogue, and a file here" || return
    out=$(as_user bash -c "cd $udir && srun -N2 --pbcast-bundle=./hello.tar hello" 2>&1)
    rc=$?
    expect_rc 0 && expect_count 2 "mine from" && nothing_left
}

test_another_digest_than_the_catalogues_fails_the_run() {
    set_up
    entry python/3.11 eleven
    simple_bundle replaced
    cp "$file" "$SHARED/home/alice/replaced.tar"
    sed -i "s|^path=.*|path=$USER_HOME/replaced.tar|" "$SHARED/catalog"
    capture srun -N4 --pbcast-bundle=python hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_out "the catalogue asks for" &&
        expect_no "replaced from" && nothing_left || return
    script 'echo never'
    batch -N4 --pbcast-bundle=python
    expect_failure && expect_out "the catalogue asks for" && expect_no never && nothing_left
}

test_a_catalogue_that_others_could_have_written_is_refused() {
    local why
    set_up
    entry python/3.11 eleven
    for why in 'chmod 666' 'chmod 664' 'chown 1001' 'ln'; do
        case $why in
            ch*) $why "$SHARED/catalog" ;;
            ln) mv "$SHARED/catalog" "$SHARED/home/alice/" && ln -s "$USER_HOME/catalog" "$SHARED/catalog" ;;
        esac
        capture srun -N4 --pbcast-bundle=python hello
        expect_failure && expect_count 1 "error: pbcast: " && expect_out "is not trusted" || return
        # a path needs no catalogue
        capture srun -N2 --pbcast-bundle="$bundle" hello
        expect_rc 0 || return
        if [[ $why == ln ]]; then rm "$SHARED/catalog"; else chown root "$SHARED/catalog" && chmod 644 "$SHARED/catalog"; fi
    done
    capture srun -N4 --pbcast-bundle=python hello
    expect_failure && expect_out "No such file" && nothing_left
}

test_a_broken_catalogue_names_its_line() {
    set_up
    entry python/3.11 eleven colour=red
    capture srun -N4 --pbcast-bundle=python hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_out '/shared/catalog: line 5: unknown key "colour"'
}

test_what_catalog_add_notes_is_staged_by_name() {
    set_up
    rm "$SHARED/catalog"
    simple_bundle added
    out=$(cluster exec login "$PREFIX/bin/pbcast" catalog -f /shared/catalog add tool/1.0 "$bundle" --default --description 'A tool' 2>&1) ||
        fail 'catalog add' || return
    capture "$PREFIX/bin/pbcast" catalog -f /shared/catalog verify
    expect_rc 0 && expect_out 'tool/1.0: good' || return
    capture srun -N4 --pbcast-bundle=tool hello
    expect_rc 0 && expect_count 4 "added from" || return
    tar -C "$dir/t" -cf "$file" bin
    capture "$PREFIX/bin/pbcast" catalog -f /shared/catalog verify tool/1.0
    expect_rc 3 && expect_count 1 'pbcast: error: tool/1.0: ' || return
    capture srun -N4 --pbcast-bundle=tool hello
    expect_failure && expect_out "the catalogue asks for" && nothing_left
}

test_the_sites_default_and_none() {
    set_up
    entry python/3.11 eleven
    plugstack "${SITE_KEYS[@]}" default_bundle=python
    capture srun -N4 hello
    expect_rc 0 && expect_count 4 "eleven from" || return
    script 'hello; srun hello'
    batch -N2
    expect_rc 0 && expect_count 3 "eleven from" || return
    capture srun -N2 --pbcast-bundle=none env
    expect_rc 0 && expect_no PBCAST_ROOT || return
    script 'env; srun /usr/bin/env'
    batch -N2 --export=NONE --pbcast-bundle=none
    expect_rc 0 && expect_no PBCAST_ROOT || return
    capture salloc -Q -N2 bash -c 'srun hello'
    expect_rc 0 && expect_count 2 "eleven from" || return
    set_up
    nothing_left
}

test_only_the_catalogue_where_the_site_says_so() {
    set_up
    entry python/3.11 eleven
    simple_bundle mine
    plugstack "${SITE_KEYS[@]}" allow_user_bundles=no
    capture srun -N2 --pbcast-bundle="python,$bundle" hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_out "bundles of its catalogue only" && no_allocation || return
    # what the environment brings is looked at as well
    script "hello; SLURM_PBCAST_BUNDLES=$bundle srun --pbcast-bundle=python hello; SLURM_PBCAST_BUNDLES=$bundle srun hello"
    batch -N2 --pbcast-bundle=python
    expect_failure && expect_count 3 "eleven from" && expect_no "mine from" && expect_out "bundles of its catalogue only" || return
    capture srun -N2 --pbcast-bundle=python hello
    expect_rc 0 && expect_count 2 "eleven from" || return
    set_up
    nothing_left
}

test_profile_and_variables_of_an_entry_reach_the_tasks() {
    set_up
    entry python/3.11 eleven profile=none 'set=GREETING=from the catalogue, @ROOT@/share' 'prepend=PATH=@ROOT@/bin' unset=FOO
    script 'export FOO=1; srun /bin/sh -c '"'"'echo "$GREETING"; echo "foo=$FOO ld=$LD_LIBRARY_PATH"; hello'"'"
    batch -N4 --pbcast-bundle=python
    expect_rc 0 && expect_count 4 "from the catalogue, $STORE/" && expect_count 4 "foo= ld=" &&
        expect_count 4 "eleven from" && nothing_left
}

test_a_default_of_a_partition() {
    local default
    set_up
    default=$(as_user sinfo -ho %R | head -1)
    entry python/3.11 eleven default=yes
    entry python/3.12 twelve "default-in=$default"
    capture srun -N2 --pbcast-bundle=python hello
    expect_rc 0 && expect_count 2 "twelve from" || return
    script 'hello; srun hello; echo $SLURM_PBCAST_BUNDLES'
    batch -N2 --pbcast-bundle=python
    expect_rc 0 && expect_count 3 "twelve from" && expect_out python/3.12 && nothing_left
}

# module_load KIND MODULECMD: what loading and unloading the site's module does to a job.
module_load() {
    set_up
    entry python/3.11 eleven
    cp -r "$top/etc/modulefiles/$1" "$SHARED/modulefiles"
    capture bash -c "export MODULEPATH=/shared/modulefiles; eval \"\$($2 bash load python/3.11)\"
        srun -N4 hello; eval \"\$($2 bash unload python/3.11)\"; echo left=\$PBCAST_BUNDLE"
    rm -rf "$SHARED/modulefiles"
    expect_rc 0 && expect_count 4 "eleven from" && grep -qx 'left=' <<<"$out" && nothing_left
}

test_module_load_selects_the_bundle() {
    local modulecmd
    modulecmd=$(find /usr/lib/*/modulecmd.tcl /usr/share/Modules /usr/lib/environment-modules -name modulecmd.tcl 2>/dev/null | head -1)
    [[ -n $modulecmd ]] || { fail "environment-modules is not installed"; return; }
    module_load tcl "$modulecmd"
}

test_module_load_of_lmod_selects_the_bundle() {
    local lmod=/var/cache/pbcast/lmod/usr/share/lmod/lmod/libexec/lmod
    [[ -x $lmod ]] || { echo "container/install-deps could not get Lmod" && return 77; }
    module_load lmod "$lmod"
}

# ---- directories ----

# app: a directory of the application, $dir/app, which the cluster sees as $udir/app.
app() {
    new_dir
    mkdir -p "$dir/app/pkg" "$dir/app/data"
    printf 'from pkg import word\nimport os, sys\nprint(word, "in", sys.path[0], os.path.dirname(os.path.dirname(word.__class__.__module__)) or "")\n' >"$dir/app/main.py"
    printf 'word = "first"\n' >"$dir/app/pkg/__init__.py"
    printf '#!/bin/sh\necho "app from $PBCAST_ROOT"\n' >"$dir/app/hello.sh"
    mkdir "$dir/app/bin" && mv "$dir/app/hello.sh" "$dir/app/bin/hello" && chmod 755 "$dir/app/bin/hello"
    chmod -R go+rX "$dir/app" && chown -R 1001:1001 "$dir"
}

test_a_mirrored_directory_is_staged_over_the_bundles() {
    set_up
    simple_bundle base
    tier1=$bundle
    app
    capture srun -N4 --pbcast-bundle="$tier1" --pbcast-mirror="$udir/app" hello
    expect_rc 0 && expect_count 4 "app from" && expect_out "staged 2 bundles" || return
    # the script runs from the tree, and so does what it imports
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-mirror="$udir/app" sh -c 'cd / && python3 -B $PBCAST_ROOT/main.py'
    expect_rc 0 && expect_count 4 "first in $STORE/" || return
    # relative, from the directory where it is called
    out=$(as_user bash -c "cd $udir/app && srun -N2 --pbcast-mirror=. hello" 2>&1)
    rc=$?
    expect_rc 0 && expect_count 2 "app from" && nothing_left
}

test_named_parts_of_a_directory_only() {
    set_up
    app
    head -c 2000000 /dev/urandom >"$dir/app/data/large"
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-mirror="$udir/app/:main.py:pkg/" sh -c 'cd $PBCAST_ROOT && ls'
    expect_rc 0 && expect_count 4 "main.py" && expect_count 4 "pkg" && expect_no bin && expect_no data && nothing_left
}

test_an_unchanged_directory_is_not_staged_twice_and_a_changed_one_is() {
    set_up
    simple_bundle base
    app
    script "srun --pbcast-bundle=$bundle hello
srun --pbcast-bundle=$bundle --pbcast-mirror=$udir/app hello
srun --pbcast-bundle=$bundle --pbcast-mirror=$udir/app hello
printf 'word = \"other\"\n' >$udir/app/pkg/__init__.py
srun --pbcast-bundle=$bundle --pbcast-mirror=$udir/app sh -c 'hello; python3 -B \$PBCAST_ROOT/main.py'"
    sed -i 's/\\$/$/g; s/\\"/"/g' "$SHARED/home/alice/${script##*/}"
    batch -N4
    expect_rc 0 && expect_count 12 "app from" && expect_count 1 "staged 1 bundle, " &&
        expect_count 2 "staged 2 bundles (1 new)" && expect_count 4 "other in $STORE" && nothing_left
}

test_sbatch_stages_the_directory_and_its_sruns_use_it() {
    set_up
    app
    script 'hello; cd /; srun hello; srun --pbcast-bundle=none /usr/bin/env'
    batch -N3 --pbcast-mirror="$udir/app"
    expect_rc 0 && expect_count 4 "app from" && expect_count 1 "pbcast: staged" && expect_count 0 "PBCAST_ROOT=" || return
    # the twins
    script 'srun hello'
    PBCAST_TWIN="PBCAST_MIRROR=$udir/app"
    out=$(as_user env "$PBCAST_TWIN" srun -N2 hello 2>&1)
    rc=$?
    expect_rc 0 && expect_count 2 "app from" && nothing_left
}

# Slurm puts the output of a batch job into the directory where it was submitted: it grows with each
# line, and while sruns side by side pack that directory.
test_the_output_of_the_job_in_a_mirrored_directory_is_no_part_of_it() {
    set_up
    app
    # shellcheck disable=SC2016
    script 'srun --pbcast-mirror=. hello
for i in 1 2 3; do srun --overlap --mem=0 --pbcast-mirror=. sh -c "hello; ls \$PBCAST_ROOT" & done
while [[ -n $(jobs -r) ]]; do echo line; sleep 0.02; done; wait'
    out=$(as_user bash -c "cd $udir/app && sbatch --wait -N4 $script" 2>&1)
    rc=$?
    out+=$'\n'$(cat "$dir"/app/slurm-*.out)
    expect_rc 0 && expect_count 16 "app from" && expect_count 1 "pbcast: staged" && expect_count 12 main.py &&
        expect_no slurm- && nothing_left
}

# Nothing is written beside it, nor to another place of the shared file system; n1 alone reads it.
test_a_directory_is_packed_without_a_file() {
    local before after node
    set_up
    app
    for node in n2 n3 n4; do
        cluster exec "$node" sh -c "mkdir -p /run/none && mount --bind /run/none $udir/app" || return
    done
    before=$(find "$SHARED" -path "$SHARED/home/alice/b-*" -printf '%p %s %T@ %C@\n' | sort)
    capture srun -N4 --pbcast-mirror="$udir/app" hello
    after=$(find "$SHARED" -path "$SHARED/home/alice/b-*" -printf '%p %s %T@ %C@\n' | sort)
    expect_rc 0 && expect_count 4 "app from" || return
    [[ $before == "$after" ]] || fail "the shared file system has changed: $(diff <(echo "$before") <(echo "$after"))"
    for node in n2 n3 n4; do cluster exec "$node" umount "$udir/app" || return; done
    nothing_left
}

test_what_cannot_be_packed_is_refused_before_an_allocation() {
    set_up
    app
    plugstack "${SITE_KEYS[@]}" mirror_max=1M
    head -c 3000000 /dev/urandom >"$dir/app/data/large"
    capture srun -N2 --pbcast-mirror="$udir/app" hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_out "the largest parts are data (2.9 MiB)" &&
        expect_out "more than the 1.0 MiB" && no_allocation || return
    capture srun -N2 --pbcast-mirror="$udir/app:pkg:bin" hello
    expect_rc 0 && expect_count 2 "app from" || return
    capture srun -N2 --pbcast-mirror="$udir/missing" hello
    expect_failure && expect_out "missing" && no_allocation || return
    capture srun -N2 --pbcast-mirror="$udir/app:../app" hello
    expect_failure && expect_out "is no part of a directory" && no_allocation || return
    capture srun -N2 --pbcast-mirror="$udir/app:missing" hello
    expect_failure && expect_out "missing" && no_allocation || return
    capture srun -N2 --pbcast-mirror="$udir/fingerprint" hello
    expect_failure && expect_count 1 "error: pbcast: " && no_allocation || return
    rm "$dir/app/data/large" && mkfifo "$dir/app/data/fifo"
    capture srun -N2 --pbcast-mirror="$udir/app" hello
    expect_failure && expect_out "data/fifo is a device, fifo or socket" && no_allocation || return
    rm "$dir/app/data/fifo" && ln -s /etc/passwd "$dir/app/data/link"
    capture srun -N2 --pbcast-mirror="$udir/app" hello
    expect_failure && expect_out "data/link is a link out of the directory" && no_allocation || return
    rm "$dir/app/data/link" && ln -s ../../.. "$dir/app/data/link"
    capture srun -N2 --pbcast-mirror="$udir/app" hello
    expect_failure && expect_count 1 "error: pbcast: " && nothing_left || return
    rm "$dir/app/data/link" && echo secret >"$dir/app/data/secret" && chmod 600 "$dir/app/data/secret"
    capture srun -N4 --pbcast-mirror="$udir/app" hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_out "data/secret: Permission denied" && nothing_left || return
    rm "$dir/app/data/secret" && mkdir -m 700 "$dir/app/data/secret"
    capture srun -N4 --pbcast-mirror="$udir/app" hello
    expect_failure && expect_count 1 "error: pbcast: " && expect_out "data/secret: Permission denied" && no_allocation || return
    rmdir "$dir/app/data/secret"
    capture srun -N2 --pbcast-bundle=mirror:"$udir/app" hello
    expect_failure && expect_out "give it with --pbcast-mirror" && no_allocation || return
    set_up
    nothing_left
}

test_names_with_shell_characters_are_only_names() {
    local odd pwned
    set_up
    app
    odd='a b;$(touch pwned)`touch pwned`"'"'"'*|&>pwned #\\é'
    simple_bundle base
    mkdir "$dir/$odd" && mv "$dir/bundle.tar" "$dir/$odd/$odd.tar"
    app=$dir
    app && cp -r "$dir/app" "$app/$odd/$odd" && echo x >"$app/$odd/$odd/$odd" && chown -R 1001:1001 "$app"
    udir=$USER_HOME/${app##*/}
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-bundle="$udir/$odd/$odd.tar" --pbcast-mirror="$udir/$odd/$odd" sh -c 'hello; ls $PBCAST_ROOT'
    expect_rc 0 && expect_count 4 "app from" && expect_count 4 "$odd" || return
    script 'hello; srun hello'
    batch -N4 --pbcast-bundle="$udir/$odd/$odd.tar" --pbcast-mirror="$udir/$odd/$odd:bin:$odd"
    expect_rc 0 && expect_count 5 "app from" || return
    capture srun -N2 --pbcast-bundle="$udir/$odd/none.tar" true
    expect_failure && expect_count 1 "error: pbcast: " || return
    capture srun -N2 --pbcast-env="$odd" --pbcast-bundle="$udir/$odd/$odd.tar" true
    expect_failure && expect_count 1 "error: pbcast: " || return
    pwned=$(find "$SHARED" -name pwned)
    [[ -z $pwned && ! -e pwned ]] || fail "a name was run: $pwned" || return
    nothing_left
}

test_a_user_base_is_found_by_the_staged_interpreter() {
    local py
    set_up
    make_python || return
    new_dir
    py=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    mkdir -p "$dir/base/lib/$py/site-packages" "$dir/base/bin" "$dir/base/share/huge"
    echo 'where = __file__' >"$dir/base/lib/$py/site-packages/usermod.py"
    printf '#!/bin/sh\necho "tool from $0"\n' >"$dir/base/bin/usertool" && chmod 755 "$dir/base/bin/usertool"
    : >"$dir/base/share/huge/file"
    chmod -R go+rX "$dir/base"
    # shellcheck disable=SC2016
    capture env PYTHONUSERBASE="$udir/base" srun -N4 --pbcast-bundle="$python" --pbcast-userbase sh -c \
        'cd /; python3 -c "import usermod; print(usermod.where)"; usertool; ls $PBCAST_ROOT/share/huge 2>&1'
    expect_rc 2 || expect_rc 0 || expect_failure || return
    expect_count 4 "lib/$py/site-packages/usermod.py" && expect_count 4 "tool from $STORE/" && expect_no huge/file || return
    capture srun -N2 --pbcast-bundle="$python" --pbcast-userbase="$udir/base" python3 -c 'import usermod; print(usermod.where)'
    expect_rc 0 && expect_count 2 "$STORE/" || return
    # sbatch hands the option without a directory to its sruns
    script 'srun python3 -c "import usermod; print(usermod.where)"'
    batch -N2 --export="ALL,PYTHONUSERBASE=$udir/base" --pbcast-bundle="$python" --pbcast-userbase="$udir/base"
    expect_rc 0 && expect_count 2 "$STORE/" || return
    capture srun -N2 --pbcast-bundle="$python" --pbcast-userbase="$udir" hello
    expect_failure && expect_out "has no lib/pythonX.Y" && nothing_left
}

test_bundles_the_user_base_and_the_directory_lie_over_each_other_in_that_order() {
    local py base
    set_up
    py=$(python3 -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    simple_bundle bundle
    new_dir
    base=$dir
    mkdir -p "$base/base/bin" "$base/base/lib/$py" "$base/mirror/bin"
    for word in base mirror; do
        # shellcheck disable=SC2016
        printf '#!/bin/sh\necho "%s from $PBCAST_ROOT"\n' $word >"$base/$word/bin/hello"
        echo $word >"$base/$word/bin/$word"
        chmod 755 "$base/$word/bin/hello"
    done
    : >"$base/base/lib/$py/x"
    # shellcheck disable=SC2016
    capture srun -N4 --pbcast-mirror="$udir/mirror" --pbcast-userbase="$udir/base" --pbcast-bundle="$bundle" sh -c 'hello; cat $PBCAST_ROOT/bin/base'
    expect_rc 0 && expect_count 4 "mirror from" && expect_count 4 base && expect_out "staged 3 bundles" || return
    # the twins, which an option replaces
    capture env PBCAST_BUNDLE="$bundle" PBCAST_USERBASE="$udir/base" srun -N4 hello
    expect_rc 0 && expect_count 4 "base from" && expect_out "staged 2 bundles" || return
    capture env PBCAST_BUNDLE="$bundle" PBCAST_USERBASE=yes PYTHONUSERBASE="$udir/base" PBCAST_MIRROR="$udir/base" \
        srun -N4 --pbcast-mirror="$udir/mirror" hello
    expect_rc 0 && expect_count 4 "mirror from" && expect_out "staged 3 bundles" || return
    capture env PBCAST_BUNDLE="$bundle" PBCAST_MIRROR="$udir/mirror" srun -N4 --pbcast-mirror=none hello
    expect_rc 0 && expect_count 4 "bundle from" && nothing_left
}
# $python: the distribution's Python as a bundle.
make_python() {
    python=$USER_HOME/python.tar.zst
    [[ -e $SHARED/home/alice/python.tar.zst ]] && return
    "$top/container/make-tier1" --small "$SHARED/home/alice/python.tar.zst" >/dev/null 2>&1 ||
        fail "no bundle of Python"
    chmod 644 "$SHARED/home/alice/python.tar.zst"
}

test_another_profile_than_the_bundles() {
    set_up
    make_python || return
    capture srun -N2 --pbcast-bundle="$python" /usr/bin/env
    expect_rc 0 && expect_count 2 "PYTHONHOME=$STORE" || return
    capture srun -N2 --pbcast-bundle="$python" --pbcast-env=generic /usr/bin/env
    expect_rc 0 && expect_no PYTHONHOME && expect_count 2 "PBCAST_ROOT=" || return
    script 'env; srun /usr/bin/env; srun --pbcast-env=python /usr/bin/env'
    batch -N1 --pbcast-bundle="$python" --pbcast-env=none
    expect_rc 0 && expect_count 1 "PYTHONHOME=$STORE" && expect_count 1 "pbcast: staged" || return
    out=$(as_user env PBCAST_ENV=generic srun -N1 --pbcast-bundle="$python" /usr/bin/env 2>&1)
    rc=$?
    expect_rc 0 && expect_no PYTHONHOME || return
    capture srun -N2 --pbcast-bundle="$python" --pbcast-env=cobol hello
    expect_failure && expect_out "'cobol' is no profile" && no_allocation || return
    capture srun -N2 --pbcast-bundle="$python" --pbcast-env=r hello
    expect_failure && expect_out "the profile is r, but the tree has not" && nothing_left
}

# ---- without the plugin ----

test_pbcast_stage_stages_without_the_plugin_and_removes_at_the_end() {
    simple_bundle mine
    cluster plugstack
    script "$PREFIX/bin/pbcast stage $bundle || exit 3
root=\$(echo /dev/shm/pbcast-\$(id -u)/\$SLURM_JOB_ID/*.manifest); root=\${root%.manifest}
srun sh -c 'PBCAST_ROOT=\$0 \$0/bin/hello' \$root"
    batch -N4
    expect_rc 0 && expect_count 4 "mine from /dev/shm/pbcast-" && expect_count 1 "pbcast: staged 1 bundle" &&
        expect_no "cpu binding" && no_own_store || return
    batch -N1
    expect_rc 0 && expect_count 1 "mine from" && expect_no "cpu binding" && no_own_store || return
    set_up
}

test_pbcast_stage_removes_after_scancel_and_keeps_jobs_apart() {
    local job other
    simple_bundle mine
    cluster plugstack
    script "$PREFIX/bin/pbcast stage $bundle && touch $udir/staged-\$SLURM_JOB_ID; sleep 600"
    chmod 777 "$dir"
    job=$(as_user sbatch --parsable -N4 --overcommit --oversubscribe -o /dev/null "$script")
    for _ in $(seq 100); do [[ -e $dir/staged-$job ]] && break; sleep 0.1; done
    [[ -e $dir/staged-$job ]] || fail "job $job has not staged" || return
    cluster exec n3 sh -c "ls -d /dev/shm/pbcast-*/$job/*.manifest" >/dev/null || fail "nothing on n3" || return
    as_user scancel "$job"
    idle || return
    no_own_store || return
    # two at a time on one node
    job=$(as_user sbatch --parsable -N1 -n1 -w n2 -o /dev/null "$script")
    other=$(as_user sbatch --parsable -N1 -n1 -w n2 -o /dev/null "$script")
    for _ in $(seq 100); do [[ -e $dir/staged-$job && -e $dir/staged-$other ]] && break; sleep 0.1; done
    as_user scancel "$job"
    for _ in $(seq 100); do as_user squeue -hj "$job" 2>/dev/null | grep -q . || break; sleep 0.1; done
    cluster exec n2 sh -c "ls -d /dev/shm/pbcast-*/$other/*.manifest" >/dev/null || fail "the other job's tree has gone" || return
    ! cluster exec n2 sh -c "ls -d /dev/shm/pbcast-*/$job" >/dev/null 2>&1 || fail "the tree of the job that has ended is there" || return
    as_user scancel "$other"
    no_own_store || return
    set_up
}

test_pbcast_stage_fails_as_the_agents_do() {
    simple_bundle mine
    cluster plugstack
    script "$PREFIX/bin/pbcast stage /shared/missing.tar; echo status=\$?"
    batch -N2
    expect_count 1 "pbcast: error: " && expect_out "/shared/missing.tar" && expect_out status=3 && no_own_store || return
    capture "$PREFIX/bin/pbcast" stage "$bundle"
    expect_rc 2 && expect_out "not in the script of a Slurm job" || return
    set_up
}

test_pbcast_stage_that_is_ended_ends_its_agents() {
    new_dir
    mkdir "$dir/t"
    head -c 60000000 /dev/urandom >"$dir/t/noise"
    tar -C "$dir/t" -cf "$dir/bundle.tar" .
    cluster plugstack
    # long enough to be ended in the middle
    cluster rate n3 20mbit
    script "$PREFIX/bin/pbcast stage $udir/bundle.tar &
until [[ -n \$(find /dev/shm/pbcast-* -name .incoming-\* 2>/dev/null) ]]; do sleep 0.1; done
kill \$!; wait \$!; echo status=\$?
while squeue -hs -j \$SLURM_JOB_ID -o %j | grep -x pbcast; do sleep 0.5; done
srun --overlap -N4 sh -c 'pgrep -lx pbcast-stage; find /dev/shm/pbcast-* -name .incoming-\*'; echo looked"
    batch -N4
    cluster rate n3 off
    expect_out status=143 && expect_out "pbcast: error: stopped: Terminated" && expect_out looked || return
    expect_no .incoming && expect_no " pbcast-stage" && no_own_store || return
    set_up
}

# ---- layers ----

# layers: $tier1 (a tree of all kinds), $app (bin/hello says one), $app2 (says two), as a tree of $udir.
layers() {
    new_dir
    fill_tree "$dir/t"
    rm "$dir/t/bin/hello" "$dir/t/bin/hard"
    # shellcheck disable=SC2016
    printf '#!/bin/sh\necho "base from $PBCAST_ROOT"\n' >"$dir/t/bin/hello" && chmod 755 "$dir/t/bin/hello"
    tar -C "$dir/t" -czf "$dir/tier1.tar.gz" .
    for word in one two; do
        mkdir -p "$dir/$word/bin"
        # shellcheck disable=SC2016
        printf '#!/bin/sh\necho "%s from $PBCAST_ROOT"\n' $word >"$dir/$word/bin/hello" && chmod 755 "$dir/$word/bin/hello"
        tar -C "$dir/$word" -cf "$dir/$word.tar" .
        "$PREFIX/bin/pbcast" convert -q "$dir/$word.tar" "$dir/$word.frames.tar.zst"
        cp -a "$dir/t" "$dir/whole-$word" && cp -p "$dir/$word/bin/hello" "$dir/whole-$word/bin/hello"
    done
    tier1=$udir/tier1.tar.gz app=$udir/one.tar app2=$udir/two.frames.tar.zst
}

test_a_set_that_extends_a_staged_one_receives_the_rest() {
    local want
    layers
    script "srun --pbcast-bundle=$tier1 hello
srun --pbcast-bundle=$tier1,$app hello
srun --pbcast-bundle=$tier1,$app2 hello
srun --pbcast-bundle=$tier1,$app2,$app hello
srun --pbcast-bundle=$tier1,$app2 sh -c 'cp -r --preserve=mode,timestamps \$PBCAST_ROOT /tmp/c && bash \$1/fingerprint /tmp/c; rm -rf /tmp/c' sh $udir
srun --pbcast-bundle=$tier1 hello"
    sed -i 's/\\$/$/g' "$SHARED/home/alice/${script##*/}"
    batch -N4
    # without names of one file, of which there are more: the trees share them
    cp -r --preserve=mode,timestamps "$dir/whole-two" "$dir/want"
    want=$(bash "$dir/fingerprint" "$dir/want")
    expect_rc 0 && expect_count 8 "base from" && expect_count 8 "one from" && expect_count 4 "two from" &&
        expect_count 2 "staged 2 bundles (1 new)" && expect_count 1 "staged 3 bundles (1 new)" &&
        expect_count 4 "$want" && nothing_left
}

test_the_whole_is_sent_where_some_nodes_lack_the_first_layer() {
    layers
    script "srun -N2 --nodelist=n1,n2 --pbcast-bundle=$tier1 hello
srun --pbcast-bundle=$tier1,$app hello
srun -N2 --nodelist=n1,n2 --pbcast-bundle=$tier1,$app2 hello"
    batch -N4
    expect_rc 0 && expect_count 2 "base from" && expect_count 4 "one from" && expect_count 2 "two from" &&
        expect_count 1 "staged 2 bundles, " && expect_count 1 "staged 2 bundles (1 new)" && nothing_left
}

test_a_set_in_use_does_not_change() {
    layers
    # the first set's tasks look at it before and after the second is staged over a copy
    script "srun --overlap --pbcast-bundle=$tier1 sh -c 'cd \$PBCAST_ROOT; stat -c \"%n %a %Y %s\" bin/hello lib/text >/tmp/b; : >/tmp/ready
for i in \$(seq 300); do [ -e /tmp/go ] && break; sleep 0.1; done; stat -c \"%n %a %Y %s\" bin/hello lib/text | diff /tmp/b - && hello; rm -f /tmp/b /tmp/ready /tmp/go' &
srun --overlap sh -c 'for i in \$(seq 300); do [ -e /tmp/ready ] && break; sleep 0.1; done'
srun --overlap --pbcast-bundle=$tier1,$app sh -c 'hello; : >/tmp/go'
wait"
    sed -i 's/\\$/$/g; s/\\"/"/g' "$SHARED/home/alice/${script##*/}"
    batch -N4
    expect_rc 0 && expect_count 4 "base from" && expect_count 4 "one from" && expect_out "(1 new)" && nothing_left
}

main "$@"
