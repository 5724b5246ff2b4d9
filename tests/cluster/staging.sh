#!/usr/bin/env bash
# What the staging engine promises, on a real Slurm with the real agents: what is staged and how it
# arrives. What is refused and what fails is in failures.sh.
set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
. "$here/bundles.sh"
SITE_KEYS=(stall=10 timeout=60 min_free=4M)

test_every_archive_format_arrives_whole_on_every_node() {
    local want ext
    new_dir
    fill_tree "$dir/t"
    want=$(bash "$dir/fingerprint" "$dir/t")
    tar -C "$dir/t" --format=pax --sparse -cf "$dir/b.tar" .
    gzip -k "$dir/b.tar" && bzip2 -k "$dir/b.tar" && xz -k -1 "$dir/b.tar"
    zstd -q "$dir/b.tar" -o "$dir/b.tar.zst" && lz4 -q "$dir/b.tar" "$dir/b.tar.lz4"
    "$PREFIX/bin/pbcast" convert -q "$dir/b.tar" "$dir/b.frames.tar.zst" || return
    chmod 644 "$dir"/b.*
    for ext in tar tar.gz tar.bz2 tar.xz tar.zst tar.lz4 frames.tar.zst; do
        # shellcheck disable=SC2016
        capture srun -N4 --pbcast-bundle="$udir/b.$ext" sh -c 'bash "$1/fingerprint" "$PBCAST_ROOT"' sh "$udir"
        expect_rc 0 || return
        expect_count 4 "$want" || fail "$ext: the tree is not the same everywhere; the source is $want" || return
    done
    nothing_left
}

test_later_bundles_overlay_earlier_ones() {
    new_dir
    mkdir -p "$dir"/{one,two,three}/d
    echo one >"$dir/one/d/both" && ln "$dir/one/d/both" "$dir/one/d/other-name"
    echo one >"$dir/one/d/only-one" && ln -s only-one "$dir/one/d/link"
    echo two >"$dir/two/d/both" && echo two >"$dir/two/d/link"
    echo three >"$dir/three/d/only-three"
    for t in one two three; do tar -C "$dir/$t" -czf "$dir/$t.tar.gz" .; done
    # shellcheck disable=SC2016
    capture srun -N3 --pbcast-bundle="$udir/one.tar.gz,$udir/two.tar.gz,$udir/three.tar.gz" \
        sh -c 'cd $PBCAST_ROOT/d; echo $(cat both other-name only-one link only-three)'
    expect_rc 0 && expect_count 3 "two one one two three" && expect_count 1 "staged 3 bundles" && nothing_left
}

test_a_file_of_more_than_2_gib() {
    new_dir
    truncate -s 2200M "$dir/hole" && printf 'end' >>"$dir/hole"
    tar -C "$dir" --sparse -czf "$dir/b.tar.gz" hole
    # shellcheck disable=SC2016
    capture srun -N2 --pbcast-bundle="$udir/b.tar.gz" sh -c 'stat -c %s $PBCAST_ROOT/hole; tail -c 3 $PBCAST_ROOT/hole; echo'
    expect_rc 0 && expect_count 2 2306867203 && (($(grep -cx end <<<"$out") == 2)) || fail "the end is not there"
}

# Each agent runs under strace, which names the file behind every descriptor.
test_only_the_root_node_touches_the_shared_file_system_and_reads_once() {
    local node others='' bytes size opens
    simple_bundle one 20
    cp "$dir/bundle.tar" "$dir/second.tar"
    cat >"$SHARED/agent" <<EOF
#!/bin/sh
exec strace -ff -y -qq -e trace=file,read,pread64,readv -o /tmp/trace.\$SLURMD_NODENAME $PREFIX/bin/pbcast-stage "\$@"
EOF
    chmod 755 "$SHARED/agent"
    plugstack "${SITE_KEYS[@]}" agent=/shared/agent
    capture srun -N4 --pbcast-bundle="$bundle,$udir/second.tar" hello
    set_up
    expect_rc 0 && expect_count 4 "one from" || return
    for node in n2 n3 n4; do
        # what it runs is there, its arguments are in execve; all else would be a request
        others+=$(cluster exec "$node" sh -c "cat /tmp/trace.$node.* | grep -v execve | grep -c $udir")
        others+=$(cluster exec "$node" sh -c "cat /tmp/trace.$node.* | grep -c manifest >/tmp/n; test \$(cat /tmp/n) -gt 0 && echo +")
    done
    [[ $others == 0+0+0+ ]] || fail "requests for the bundles on n2, n3, n4: $others" || return
    size=$(stat -c %s "$file")
    opens=$(cluster exec n1 sh -c "cat /tmp/trace.n1.* | grep -cE 'open(at)?\(.* = [0-9]+<$bundle>'")
    bytes=$(cluster exec n1 sh -c "cat /tmp/trace.n1.*" | grep -E "read.*<$bundle>" |
        sed -n 's/.* = \([0-9]*\)$/\1/p' | awk '{ s += $1 } END { print s }')
    # the whole once, and the 512 bytes that tell its format
    ((bytes == size + 512)) || fail "n1 read $bytes bytes of a bundle of $size" || return
    ((opens == 2)) || fail "n1 opened the bundle $opens times"
}

test_the_memory_of_an_agent_is_bounded() {
    local node most
    simple_bundle big 400
    cat >"$SHARED/agent" <<EOF
#!/usr/bin/env python3
import os, resource, subprocess, sys
rc = subprocess.call(["$PREFIX/bin/pbcast-stage"] + sys.argv[1:])
kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
open("/tmp/maxrss." + os.environ["SLURMD_NODENAME"], "w").write(str(kib))
sys.exit(rc)
EOF
    chmod 755 "$SHARED/agent"
    plugstack "${SITE_KEYS[@]}" agent=/shared/agent
    # one slow link, so that everything piles up before it
    cluster rate n3 200mbit
    capture srun -N4 --pbcast-bundle="$bundle" hello
    cluster rate all off
    set_up
    expect_rc 0 && expect_count 4 "big from" || return
    for node in $(node_list); do
        most=$(cluster exec "$node" cat "/tmp/maxrss.$node")
        # 88 MiB of chunks, 8 of blocks, and the libraries
        ((most < 128 * 1024)) || fail "the agent on $node took $most KiB" || return
    done
    nothing_left
}

# slow_node SHAPE NODE: stages on links of which that node's is slow.
slow_node() {
    bundle=/shared/random.tar
    head -c 60000000 /dev/urandom >"$SHARED/random"
    tar -C "$SHARED" -cf "$SHARED/random.tar" random
    cluster rate all 400mbit
    cluster rate "$2" 40mbit
    script "srun -N4 --pbcast-verbose=2 --pbcast-bundle=$bundle sh -c 'sha256sum <\$PBCAST_ROOT/random'"
    batch -N4
    cluster rate all off
    expect_rc 0 && expect_count 4 "$(sha256sum <"$SHARED/random")" &&
        expect_out "went round a slow node ($2)" && expect_out "through $1," && nothing_left
}
test_a_slow_node_delays_itself_only_and_is_named() { slow_node "a tree of arity 1" n3; }

test_two_trees_bring_the_same() {
    local way
    two_trees
    for way in 3 4; do
        simple_bundle "trees$way" 30
        capture srun -N"$way" --ntasks-per-node=1 --pbcast-verbose=2 --pbcast-bundle="$bundle" hello
        expect_rc 0 && expect_count "$way" "trees$way from" && expect_out "through two trees," || return
    done
    set_up
    nothing_left
}

test_two_trees_go_round_a_slow_node_as_well() {
    two_trees
    slow_node "two trees" n2 || return
    set_up
}

test_two_steps_with_the_same_set_at_once_transfer_it_once() {
    simple_bundle same 30
    cluster rate all 200mbit
    script "for i in 1 2; do srun --overlap -N4 --pbcast-verbose=2 --pbcast-bundle=$bundle hello & done; wait %1 && wait %2"
    batch -N4
    cluster rate all off
    expect_rc 0 && expect_count 8 "same from" && expect_count 1 "staged 1 bundle" &&
        expect_count 1 "already staged" && nothing_left
}

test_two_steps_with_different_sets_at_once() {
    local first
    simple_bundle first 20
    first=$bundle
    simple_bundle second 20
    script "srun --overlap -N4 --pbcast-bundle=$first hello & srun --overlap -N3 --nodelist=n2,n3,n4 --pbcast-bundle=$bundle hello & wait %1 && wait %2"
    batch -N4
    expect_rc 0 && expect_count 4 "first from" && expect_count 3 "second from" && nothing_left
}

test_the_same_set_on_overlapping_nodes_at_once() {
    simple_bundle same 20
    script "srun --overlap -N3 --nodelist=n1,n2,n3 --pbcast-bundle=$bundle hello & srun --overlap -N3 --nodelist=n2,n3,n4 --pbcast-bundle=$bundle hello & wait %1 && wait %2"
    batch -N4
    expect_rc 0 && expect_count 6 "same from" && nothing_left
}

test_a_set_that_changed_is_another_set() {
    simple_bundle before
    script "srun -N4 --pbcast-bundle=$bundle hello
sleep 1
cp ${bundle%/*}/new.tar $bundle
srun -N4 --pbcast-bundle=$bundle hello"
    mkdir "$dir/n" && cp -r "$dir/t/." "$dir/n/" && sed -i 's/before/after/' "$dir/n/bin/hello"
    tar -C "$dir/n" -cf "$dir/new.tar" .
    chown -R 1001 "$dir"
    batch -N4
    expect_rc 0 && expect_count 4 "before from" && expect_count 4 "after from" && nothing_left
}

test_array_tasks_and_two_users_on_the_same_nodes() {
    local theirs
    simple_bundle mine 5
    script 'hello; srun hello'
    cluster run --user bob srun -N4 --overcommit --pbcast-bundle="$bundle" sh -c 'hello; sleep 3; ls -ld /dev/shm/pbcast/*' >"$dir/bob" 2>&1 &
    batch -N2 --array=1-3 --pbcast-bundle="$bundle"
    wait $!
    theirs=$?
    expect_rc 0 || return
    out=$(cat "$dir/bob")
    ((theirs == 0)) && expect_count 4 "mine from" || return
    ! grep -v '^srun: job\|mine from\|^pbcast:\|drwx------' "$dir/bob" || fail "a job's directory is open to others" || return
    nothing_left
}

test_a_step_on_one_node_needs_no_pmix() {
    simple_bundle solo
    capture srun -N1 -n2 --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 2 "solo from" && expect_out "on 1 node in" && nothing_left
}

test_without_the_plugin_an_srun_of_the_agent_stages() {
    simple_bundle alone
    cluster plugstack
    # shellcheck disable=SC2016
    script 'srun -N4 --ntasks-per-node=1 --mpi=pmix pbcast-stage '"$bundle"' || exit 1
srun -N4 sh -c "/dev/shm/pbcast-\$(id -u)/\$SLURM_JOB_ID/*/bin/hello; rm -r /dev/shm/pbcast-\$(id -u)"'
    batch -N4
    set_up
    expect_rc 0 && expect_count 4 "alone from" && expect_count 1 "pbcast: staged" && nothing_left
}

test_the_address_key_chooses_the_network() {
    simple_bundle chosen
    plugstack "${SITE_KEYS[@]}" address=10.77.0.0/16
    capture srun -N4 --pbcast-bundle="$bundle" hello
    expect_rc 0 && expect_count 4 "chosen from" || return
    plugstack "${SITE_KEYS[@]}" address=192.0.2.0/24
    capture srun -N4 --pbcast-bundle="$bundle" hello
    set_up
    expect_rc 1 && expect_count 1 "error: pbcast: " && expect_out "address=192.0.2.0/24" && nothing_left
}

main "$@"
