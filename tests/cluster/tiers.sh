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

test_module_load_selects_the_bundle() {
    local modulecmd
    modulecmd=$(find /usr/lib/*/modulecmd.tcl /usr/share/Modules /usr/lib/environment-modules -name modulecmd.tcl 2>/dev/null | head -1)
    [[ -n $modulecmd ]] || { fail "environment-modules is not installed"; return; }
    set_up
    entry python/3.11 eleven
    cp -r "$top/etc/modulefiles/tcl" "$SHARED/modulefiles"
    capture bash -c "export MODULEPATH=/shared/modulefiles; eval \"\$($modulecmd bash load python/3.11)\"
        srun -N4 hello; eval \"\$($modulecmd bash unload python/3.11)\"; echo left=\$PBCAST_BUNDLE"
    rm -rf "$SHARED/modulefiles"
    expect_rc 0 && expect_count 4 "eleven from" && grep -qx 'left=' <<<"$out" && nothing_left
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
    sed -i 's/\\\$/$/g' "$SHARED/home/alice/${script##*/}"
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
    sed -i 's/\\\$/$/g; s/\\"/"/g' "$SHARED/home/alice/${script##*/}"
    batch -N4
    expect_rc 0 && expect_count 4 "base from" && expect_count 4 "one from" && expect_out "(1 new)" && nothing_left
}

main "$@"
