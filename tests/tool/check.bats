#!/usr/bin/env bats
# pbcast inspect and check: what they say of bundles, good and bad.
load support

PYTHON=/usr/bin/python3

bundle() { "$PBC_TOOL" bundle dir t -q -o b.tar.zst "$@"; }
archive() { tar -C t -cf b.tar .; }
# finds SEVERITY TEXT PLACE: status and one finding
finds() {
    local code=0
    [[ $1 != warning ]] || code=7
    [[ $1 != error ]] || code=3
    [[ $status == "$code" ]] || said "exit status $code"
    grep -qE "^$1: .*$2" <<<"$output" || said "$1: $2"
    says "    $3"
    grep -q '^  why:  .' <<<"$output" || said "why"
    grep -q '^  mend: .' <<<"$output" || said "mend"
}
python_tree() {
    version=$($PYTHON -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    lib=t/lib/python$version
    mkdir -p "$lib/site-packages" t/bin
    : >t/bin/python3 && chmod 755 t/bin/python3
    : >"$lib/os.py"
}

@test "inspect says what there is" {
    python_tree
    head -c 3000000 /dev/zero >t/lib/zeros
    bundle --set A=1 --prepend B=@ROOT@/x
    pbcast inspect b.tar.zst
    done_well
    says "frames"
    says "3 files (2.9 MiB)"
    says "as stated"
    says "origin     $PWD/t"
    says "profile    python, by what the tree holds, Python $version"
    says "set     PYTHONHOME=/ROOT"
    says "set     A=1"
    says "prepend B=/ROOT/x"
    says "2.9 MiB      1 files  lib"
}

@test "inspect --json is JSON, whatever the names" {
    printf x >t/$'latin\xe9"\n'
    mkdir t/$'d\xe9\e[31m'
    printf x >t/$'d\xe9\e[31m'/x
    bundle
    pbcast inspect --json -q b.tar.zst
    done_well
    $PYTHON -c '
import json, sys
j = json.load(sys.stdin)
assert j["files"] == 2 and j["bytes"] == 2 and j["contents"] == j["contents_stated"], j
assert j["refused"] is None and len(j["by_directory"]) == 2, j' <<<"$output"
    pbcast inspect -q b.tar.zst
    done_well
    says_no $'\e'
}

@test "inspect and check read any archive" {
    local i
    printf x >t/x
    archive
    gzip -k b.tar
    xz -k b.tar
    bzip2 -k b.tar
    zstd -q b.tar
    for i in b.tar b.tar.gz b.tar.xz b.tar.bz2 b.tar.zst; do
        pbcast inspect "$i"
        done_well
        says "not stated"
        pbcast check "$i"
        done_well
    done
}

@test "a bundle without faults" {
    mkdir t/bin
    printf '#!/bin/sh\n' >t/bin/x && chmod 755 t/bin/x
    ln -s x t/bin/y
    bundle
    pbcast check b.tar.zst
    done_well
    says "no errors, no warnings"
    pbcast check -q b.tar.zst
    done_well
    [[ -z $output ]]
}

@test "links that leave, lead nowhere or turn in circles" {
    ln -s /etc/passwd t/absolute
    archive
    pbcast check b.tar
    finds error "links that leave" "absolute -> /etc/passwd"
    says "the bundle would be refused"
    rm t/absolute
    ln -s ../up t/above
    archive
    pbcast check b.tar
    finds error "links that leave" "above -> ../up"
    rm t/above
    ln -s nowhere t/lost
    ln -s circle t/circle
    archive
    pbcast check b.tar
    finds warning "what is not in the bundle" "lost -> nowhere"
    says "circle -> circle"
}

@test "set-user-id files, devices" {
    : >t/x && chmod 4755 t/x
    archive
    pbcast check b.tar
    finds error "set-user-id" "x (4755)"
    rm t/x
    mkfifo t/fifo
    archive
    pbcast check b.tar
    finds error "would be refused" "member 'fifo' is neither"
}

@test "hostile names" {
    printf x >t/x
    tar -C t -cf b.tar --transform 's,x,../../x,' -P x
    pbcast check b.tar
    finds error "would be refused" "member '../../x'"
    tar -C t -cf b.tar --transform 's,x,/x,' -P x
    pbcast check b.tar
    finds error "would be refused" "member '/x'"
    [[ ! -e /x ]]
}

@test "a bundle that was changed" {
    printf x >t/x
    bundle
    unpack b.tar.zst
    printf y >out/x
    tar -C out -cf b.tar .pbcast/bundle.conf x
    pbcast check b.tar
    finds error "not what its bundle.conf says" "contents="
    pbcast inspect b.tar
    says "NOT AS STATED"
    printf 'garbage\n' >out/.pbcast/bundle.conf
    tar -C out -cf b.tar .pbcast/bundle.conf x
    pbcast check b.tar
    finds error "would be refused" "line 1"
}

@test "paths in programs and libraries" {
    printf 'int f(void) { return 1; }\n' >f.c
    printf 'int f(void); int main(void) { return f(); }\n' >main.c
    mkdir t/bin t/lib
    gcc -shared -fPIC f.c -o t/lib/libf.so.1 -Wl,-soname,libf.so.1
    gcc main.c t/lib/libf.so.1 -o t/bin/good -Wl,-rpath,'$ORIGIN/../lib'
    bundle
    pbcast check b.tar.zst
    done_well
    gcc main.c t/lib/libf.so.1 -o t/bin/bad -Wl,-rpath,"$PWD/lib"
    bundle
    pbcast check b.tar.zst
    finds warning "library paths that leave" "bin/bad: RUNPATH $PWD/lib"
    gcc main.c t/lib/libf.so.1 -o t/bin/bad -Wl,-rpath,'$ORIGIN/../../lib' -Wl,--disable-new-dtags
    bundle
    pbcast check b.tar.zst
    finds warning "library paths that leave" 'bin/bad: RPATH $ORIGIN/../../lib'
    rm t/bin/bad t/lib/libf.so.1
    bundle
    pbcast check b.tar.zst
    finds warning "libraries that the bundle does not have" "libf.so.1, for bin/good"
    says_no "libc.so"
}

@test "another architecture, and broken files" {
    cp /bin/true t/true
    printf '\xb7\x00' | dd of=t/true bs=1 seek=18 conv=notrunc status=none
    bundle
    pbcast check b.tar.zst
    finds warning "another machine" "true: AArch64, 64 bits"
    head -c 500 /bin/true >t/true
    bundle
    pbcast check b.tar.zst
    finds warning "broken programs" "true"
}

@test "scripts that start what is elsewhere" {
    printf '#!/opt/py/bin/python3\n' >t/x && chmod 755 t/x
    bundle
    pbcast check b.tar.zst
    finds warning "scripts that start" "x: #!/opt/py/bin/python3"
    printf '#!/opt/py/bin/python2' >t/x # which the kernel takes for a line
    bundle
    pbcast check b.tar.zst
    finds warning "scripts that start" "x: #!/opt/py/bin/python2"
    python_tree
    printf '#!/usr/bin/python3\n' >t/x
    bundle --python $PYTHON
    pbcast check b.tar.zst
    finds warning "scripts that start" "x: #!/usr/bin/python3"
}

@test "what makes Python leave: venv, .pth, editable" {
    printf 'home = /usr/bin\n' >t/pyvenv.cfg
    bundle
    pbcast check b.tar.zst
    finds error "virtual environment without" "pyvenv.cfg: home = /usr/bin"
    rm t/pyvenv.cfg
    python_tree
    printf '/proj/src\nimport os\n' >"$lib/site-packages/a.pth"
    printf 'import __editable___x_finder; y\n' >"$lib/site-packages/__editable__.x.pth"
    mkdir "$lib/site-packages/z.dist-info"
    printf '{"url": "file:///z", "dir_info": {"editable": true}}' >"$lib/site-packages/z.dist-info/direct_url.json"
    bundle --python $PYTHON
    pbcast check b.tar.zst
    finds warning ".pth files" "${lib#t/}/site-packages/a.pth: /proj/src"
    finds warning "installed editable" "${lib#t/}/site-packages/__editable__.x.pth"
    says "z.dist-info/direct_url.json"
}

@test "compiled modules that are missing or stale" {
    python_tree
    bundle
    pbcast check b.tar.zst
    finds warning "without a compiled one" "${lib#t/}/os.py"
    bundle --python $PYTHON
    pbcast check b.tar.zst
    done_well
    unpack b.tar.zst
    touch -d 2001-01-01 "out/${lib#t/}/os.py"
    tar -C out -cf b.tar bin lib
    pbcast check b.tar
    finds warning "do not fit their source" "${lib#t/}/__pycache__/os."
}

@test "names that differ in case only, and size" {
    : >t/Makefile
    head -c 2000000 /dev/zero >t/makefile
    bundle
    pbcast check b.tar.zst
    finds note "differ in case" "Makefile and makefile"
    pbcast check b.tar.zst --capacity 3M
    finds warning "more than half" "1.9 MiB of 3.0 MiB"
    pbcast check b.tar.zst --capacity 1M
    finds error "larger than the store" "1.9 MiB of 1.0 MiB"
}

@test "what is no archive, and temporary files" {
    export TMPDIR=$PWD/tmp
    mkdir tmp
    echo no >bad
    pbcast check bad
    refused "bad"
    pbcast inspect nosuch
    refused "nosuch"
    head -c 100000 /dev/urandom >t/x
    bundle
    head -c 50000 b.tar.zst >cut.tar.zst
    pbcast check cut.tar.zst
    refused "cut.tar.zst: truncated: the zstd stream ends in the middle"
    pbcast check b.tar.zst
    pbcast inspect b.tar.zst
    [[ -z $(ls tmp) ]]
}

@test "reading a huge hole can be stopped" {
    truncate -s 5T t/hole
    tar -C t --sparse -cf b.tar .
    run env --default-signal=INT timeout -s INT -k 20 1 "$PBC_TOOL" check -q b.tar
    [[ $status == 124 ]] || said "124: it was stopped by the signal, and soon"
    says "stopped: Interrupt"
}

@test "what nodes say to the end of an archive, check says" {
    echo x >t/x
    bundle
    cat b.tar.zst b.tar.zst >two.tar.zst
    pbcast check two.tar.zst
    [[ $status == 3 ]] || said "status 3"
    says "corrupt: something follows the frame that ends the archive"
    # the number of members that the last header but one states
    $PYTHON - b.tar.zst odd.tar.zst <<'EOF'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
heads = [i for i in range(len(data) - 68) if data[i:i + 4] == data[:4] and data[i + 8:i + 12] == data[8:12]]
data[heads[-2] + 35] += 1
open(sys.argv[2], "wb").write(data)
EOF
    pbcast check odd.tar.zst
    [[ $status == 3 ]] || said "status 3"
    says "its frames' headers say"
    tar -C t -czf b.tar.gz .
    { cat b.tar.gz && yes | head -c 1000; } >more.tar.gz
    pbcast check more.tar.gz
    refused "more.tar.gz: corrupt: "
    { cat b.tar.gz && head -c 1000 /dev/zero; } >zeros.tar.gz
    pbcast check -q zeros.tar.gz
    [[ $status != 3 ]] || said "zeros are ignored, as by gzip"
    head -c -20 b.tar.gz >cut.tar.gz
    pbcast check cut.tar.gz
    refused "cut.tar.gz: truncated: the gzip stream ends in the middle"
    tar -C t -cjf b.tar.bz2 .
    { cat b.tar.bz2 && yes | head -c 100000; } >more.tar.bz2
    pbcast check more.tar.bz2
    refused "more.tar.bz2: corrupt: something follows the bzip2 stream"
}

@test "a full directory for temporary files is no fault of the bundle" {
    mkdir tmp t/d{1..40}
    bundle
    run unshare -rm bash -c 'mount -t tmpfs -o nr_inodes=20 none tmp && TMPDIR=$PWD/tmp "$@"' bash "$PBC_TOOL" check b.tar.zst
    refused 4 "TMPDIR"
    says "No space left on device"
}

@test "whatever nodes say to bundle.conf, check says" {
    mkdir -p out/.pbcast
    printf 'pbcast-bundle=1\n' >out/.pbcast/bundle.conf
    printf 'x' >out/x
    tar -C out -cf b.tar .pbcast/bundle.conf .pbcast/bundle.conf x
    pbcast check b.tar
    [[ $status == 3 ]] || said "status 3"
    says "member '.pbcast/bundle.conf' comes a second time"
    tar -C out -cf b.tar x .pbcast/bundle.conf
    pbcast check b.tar
    [[ $status == 3 ]] || said "status 3"
    says "member '.pbcast/bundle.conf' must come before all files and links"
    tar -C out -cf b.tar .pbcast/bundle.conf
    pbcast check b.tar
    [[ $status == 3 ]] || said "status 3"
    says "the archive has no members"
    { cat out/.pbcast/bundle.conf && yes set=A=1 | head -c 5000000; } >large
    cp large out/.pbcast/bundle.conf
    tar -C out -cf b.tar .pbcast/bundle.conf x
    pbcast check b.tar
    [[ $status == 3 ]] || said "status 3"
    says "member '.pbcast/bundle.conf' has more than 4194304 bytes"
    rm out/.pbcast/bundle.conf
    ln -s x out/.pbcast/bundle.conf
    tar -C out -cf b.tar .pbcast/bundle.conf x
    pbcast check b.tar
    [[ $status == 3 ]] || said "status 3"
    says "member '.pbcast/bundle.conf' is not a regular file"
}

@test "compiled modules below a link to nothing would be refused" {
    mkdir -p a/lib/__pycache__ b/lib
    printf 'x' >a/lib/__pycache__/x.pyc
    ln -s nothing b/lib/__pycache__
    tar -cf b.tar -C b lib/__pycache__ -C ../a lib/__pycache__/x.pyc
    pbcast check b.tar
    [[ $status == 3 ]] || said "status 3"
    says "member 'lib/__pycache__/x.pyc' lies below 'lib/__pycache__', a link to nothing"
}
