#!/usr/bin/env bats
# pbcast bundle prefix and dir: what they pack, and what they refuse.
load support

# A prefix with a program, a library, links and a script.
prefix() {
    mkdir -p t/bin t/lib/deep t/share t/src
    printf 'program\n' >t/bin/program
    chmod 755 t/bin/program
    printf '#!%s/t/bin/program -x\nbody\n' "$PWD" >t/bin/script
    chmod 755 t/bin/script
    ln -s program t/bin/link
    ln -s "$PWD/t/lib/deep" t/lib/absolute
    ln t/bin/program t/share/hard
    printf 'data' >t/lib/deep/data
    touch -d '2011-11-11 11:11:11' t/lib/deep/data
    : >t/src/source
}

@test "a prefix is packed without what is no part of one, which is told" {
    prefix
    pbcast bundle prefix t -o b.tar.zst
    done_well
    says "not packed, because no part of a prefix: src"
    unpack b.tar.zst
    [[ -x out/bin/program && ! -e out/src ]]
    [[ $(stat -c %Y out/lib/deep/data) == "$(stat -c %Y t/lib/deep/data)" ]]
    pbcast bundle prefix t bin src -o c.tar.zst
    done_well
    unpack c.tar.zst parts
    [[ -e parts/src/source && ! -e parts/lib ]]
    pbcast bundle prefix t/ bin/ src/ -o d.tar.zst
    done_well
    cmp c.tar.zst d.tar.zst
}

@test "parts of a prefix are not taken for the whole" {
    prefix
    mkdir -p t/lib/python3.11
    : >t/lib/python3.11/os.py
    printf '#!/bin/sh\nexit 1\n' >t/bin/python3
    pbcast bundle prefix t share -o b.tar.zst
    pbcast check b.tar.zst
    done_well
}

@test "dir packs all, hidden files too" {
    prefix
    : >t/.hidden
    pbcast bundle dir t -o b.tar.zst
    done_well
    unpack b.tar.zst
    rm -r out/.pbcast
    (cd t && find . | sort) >want
    (cd out && find . | sort) | diff want -
    [[ $(stat -c %i out/bin/program) == $(stat -c %i out/share/hard) ]]
}

@test "dir --at puts it at a place in the tree" {
    prefix
    pbcast bundle dir t lib --at opt/app -o b.tar.zst
    done_well
    unpack b.tar.zst
    [[ -e out/opt/app/lib/deep/data ]]
    pbcast bundle dir t --at ../up -o c.tar.zst
    refused 2 "--at takes a relative path"
    left_nothing c.tar.zst
}

@test "absolute links into the tree become relative" {
    prefix
    pbcast bundle prefix t -o b.tar.zst
    unpack b.tar.zst
    [[ $(readlink out/lib/absolute) == deep ]]
}

@test "scripts of the tree's programs find them by PATH" {
    prefix
    pbcast bundle prefix t -o b.tar.zst
    unpack b.tar.zst
    [[ $(<out/bin/script) == $'#!/usr/bin/env -S program -x\nbody' ]]
    printf '#!/bin/sh\n'\'\'\''exec'\'' "%s/t/bin/program" "$0" "$@"\n'\'' '\'\'\''\nimport x\n' "$PWD" >t/bin/script
    pbcast bundle prefix t -o b.tar.zst
    unpack b.tar.zst
    [[ $(<out/bin/script) == $'#!/usr/bin/env program\nimport x' ]]
    printf '#!%s/t/bin/program' "$PWD" >t/bin/script
    pbcast bundle prefix t -o b.tar.zst
    unpack b.tar.zst
    [[ $(<out/bin/script) == '#!/usr/bin/env program' ]] || said "the first line without an end: $(<out/bin/script)"
}

@test "the same tree gives the same bytes, whoever packs it, whenever, wherever" {
    prefix
    pbcast bundle prefix t -q -o b.tar.zst
    pbcast bundle prefix t -q -o b.tar.gz
    cp -a t u
    find u -exec touch -h -r t/{} {} \; 2>/dev/null
    mv t v
    mv u t
    chown -hR 1234:1234 t
    sleep 1
    TZ=Asia/Tokyo pbcast bundle prefix t -q -o c.tar.zst
    LC_ALL=C pbcast bundle prefix t -q -o c.tar.gz
    cmp b.tar.zst c.tar.zst
    cmp b.tar.gz c.tar.gz
    [[ $(tar --numeric-owner -tvf c.tar.gz | awk '{ print $2 }' | sort -u) == 0/0 ]]
}

@test "the same bytes whatever the umask, the locale, and the order in which a directory is read" {
    [[ $EUID == 0 ]] || skip "needs root to mount"
    # tmpfs lists what was made last first
    cat >in-order <<'EOF'
set -e
mount -t tmpfs none t
for i in $1; do
    mkdir t/d$i
    for k in $1; do echo "$i$k" >t/d$i/$k; done
    chmod 644 t/d$i/*
    chmod 755 t/d$i
done
chmod 755 t
find t -exec touch -d 2020-02-02 {} +
ls -f t/d1 >$2.order
umask $3
"$PBC_TOOL" bundle dir t -q -o $2.tar.zst
"$PBC_TOOL" bundle dir t -q -o $2.tar.gz
EOF
    LC_ALL=C.UTF-8 unshare --mount bash in-order "1 2 3 ä Z a" one 022
    LC_ALL=tr_TR.ISO-8859-9 LANG=C unshare --mount bash in-order "a Z ä 3 2 1" two 077
    run cmp one.order two.order
    [[ $status == 1 ]]
    cmp one.tar.zst two.tar.zst
    cmp one.tar.gz two.tar.gz
}

@test "all formats hold the same, and the same digest of contents" {
    local ext
    prefix
    for ext in tar.zst tzst tar.gz tgz tar; do
        pbcast bundle prefix t -q -o "b.$ext"
        done_well
        unpack "b.$ext" "out-$ext"
        diff -r --no-dereference out-tar.zst "out-$ext"
    done
    file b.tar.gz | grep -q gzip
    zstd -qt b.tar.zst
    [[ $(conf | grep -c '^contents=[0-9a-f]\{64\}$') == 1 ]]
    pbcast bundle prefix t -o b.zip
    refused 2 "ends in .tar.zst"
    left_nothing b.zip
}

@test "bundle.conf comes first and says what is there" {
    prefix
    pbcast bundle prefix t -o b.tar.zst --profile generic --set 'A=1 2' --prepend PATH=@ROOT@/x --unset B
    [[ $(tar -tf b.tar.zst | head -1) == .pbcast/bundle.conf ]]
    conf | grep -x "origin=$PWD/t"
    conf | grep -x files=3
    conf | grep -x 'set=A=1 2'
    conf | grep -x 'prepend=PATH=@ROOT@/x'
    conf | grep -x unset=B
    conf | grep -x profile=generic
    pbcast bundle prefix t -o c.tar.zst --set LD_PRELOAD=x
    refused 2 "'LD_PRELOAD' is no variable that a bundle may touch"
    left_nothing c.tar.zst
}

@test "names with shell characters, blanks, newlines, and of no encoding" {
    local name
    for name in ' ' '$(touch pwned)' ';rm -rf *' $'new\nline' $'latin\xe9' 'Grüße' '-o' '*' '"' "'"; do
        printf '%s' "$name" >"t/$name"
        mkdir "t/d$name"
        ln -s "../$name" "t/d$name/link"
    done
    pbcast bundle dir t -o 'a b$(touch pwned).tar.zst'
    done_well
    [[ ! -e pwned ]]
    unpack 'a b$(touch pwned).tar.zst'
    rm -r out/.pbcast
    diff -r t out
    pbcast bundle dir -o b.tar.zst -- t
    done_well
}

@test "holes stay holes, and are not read" {
    truncate -s 3T t/hole
    printf x >t/data
    pbcast bundle dir t --limit 0 -o b.tar.zst --exclude hole
    done_well
    truncate -s 300M t/hole
    printf end >>t/hole
    pbcast bundle dir t -o b.tar.zst
    done_well
    unpack b.tar.zst
    cmp t/hole out/hole
    (($(stat -c %b out/hole) < 1000))
}

@test "what is left out is what was asked for" {
    prefix
    : >t/lib/x.a
    : >t/lib/deep/y.a
    pbcast bundle prefix t -o b.tar.zst --exclude '*.a' --exclude 'share/*' --exclude 'no?such'
    done_well
    says "nothing matches --exclude 'no?such'"
    unpack b.tar.zst
    [[ -e out/lib/deep/data && ! -e out/lib/x.a && ! -e out/lib/deep/y.a && ! -e out/share/hard && -e out/share ]]
}

@test "a size above the limit is refused, with the largest parts" {
    mkdir -p t/a/b
    head -c 3000000 /dev/zero >t/a/b/large
    : >t/small
    pbcast bundle dir t --limit 1M -o b.tar.zst
    refused "the largest parts: a/b (2.9 MiB)"
    left_nothing
    pbcast bundle dir t --limit 1 -o b.tar.zst --exclude large
    done_well
}

@test "a directory that is missing, or none" {
    pbcast bundle prefix nosuch -o b.tar.zst
    refused "nosuch: No such file or directory"
    left_nothing
    : >file
    pbcast bundle dir file -o b.tar.zst
    refused "file: Not a directory"
    left_nothing
    pbcast bundle prefix t -o b.tar.zst
    refused "no bin, lib or another part of a prefix"
    left_nothing
    pbcast bundle dir t -o b.tar.zst
    refused "nothing to pack"
    left_nothing
    prefix
    pbcast bundle prefix t bin nosuch -o b.tar.zst
    refused "t/nosuch: No such file"
    left_nothing
    pbcast bundle prefix t ../up -o b.tar.zst
    refused 2 "without '.' and '..'"
    left_nothing
}

@test "links to nothing" {
    prefix
    ln -s nowhere t/lib/broken
    ln -s loop t/lib/loop
    pbcast bundle prefix t -o b.tar.zst
    refused "is a link to nothing"
    says "1 more such link"
    left_nothing
    pbcast bundle prefix t -o b.tar.zst --exclude broken --exclude loop
    done_well
}

@test "links out of the tree are refused, or followed on demand" {
    prefix
    mkdir -p other/dir
    echo one >other/file
    echo two >other/dir/two
    ln -s ../file other/dir/up
    ln -s "$PWD/other/file" t/lib/file
    ln -s ../../other/dir t/lib/dir
    pbcast bundle prefix t -o b.tar.zst
    refused "a link to what is not in the bundle"
    says "--follow"
    left_nothing
    pbcast bundle prefix t --follow -o b.tar.zst
    done_well
    unpack b.tar.zst
    [[ -f out/lib/file && ! -L out/lib/file && $(<out/lib/dir/two) == two && $(<out/lib/dir/up) == one ]]
}

# Freed memory is filled, so that a name that is read too late is not the right one by chance.
@test "links that are replaced or made relative lead others no other way" {
    local i
    prefix
    mkdir -p other/dir t/v1 t/etc
    echo one >other/file
    echo two >other/dir/two
    echo plain >t/v1/plain
    for i in {1..9}; do ln -s "$PWD/other/file" t/w$i; done
    ln -s ../other/dir t/ab
    ln -s "$PWD/t/v1" t/current
    ln -s ../current/plain t/etc/y
    ln -s v1 t/z64
    ln -s z64/plain t/zz
    export MALLOC_PERTURB_=165
    pbcast bundle dir t --follow -o b.tar.zst
    done_well
    unpack b.tar.zst
    [[ ! -L out/w5 && -d out/ab && ! -L out/ab ]]
    [[ $(readlink out/current) == v1 && $(readlink out/z64) == v1 ]]
    [[ $(readlink out/zz) == z64/plain && $(readlink out/etc/y) == ../*/plain ]]
    [[ $(<out/etc/y) == plain && $(<out/zz) == plain ]]
}

@test "links in circles through directories end" {
    mkdir -p t/a other
    ln -s "$PWD/other" t/a/b
    ln -s "$PWD/t/a" other/back
    ln -s "$PWD/other" other/self
    pbcast bundle dir t --follow -o b.tar.zst
    [[ $status == 3 || $status == 0 ]]
    (($(wc -l <<<"$output") == 1))
}

@test "a link to a directory above the tree is not followed" {
    local target
    for target in .. /; do
        ln -sfn "$target" t/up
        pbcast bundle dir t --follow -o b.tar.zst
        refused "in which the tree itself lies"
        left_nothing
    done
}

@test "what no bundle can have" {
    prefix
    chmod 4755 t/bin/program
    rm t/share/hard
    pbcast bundle prefix t -o b.tar.zst
    refused "is setuid"
    left_nothing
    chmod 755 t/bin/program
    mkfifo t/lib/fifo
    pbcast bundle prefix t -o b.tar.zst
    refused "lib/fifo is neither file, directory nor link"
    left_nothing
}

@test "unreadable files and directories" {
    [[ $EUID == 0 ]] || skip "needs root to become another user"
    prefix
    chmod 777 .
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_TEST_TMPDIR"/..
    chmod 777 "$BATS_TEST_TMPDIR"
    mkdir nobody
    cp -a t nobody/
    chmod 000 nobody/t/lib/deep/data
    run as_nobody "$PBC_TOOL" bundle prefix nobody/t -o b.tar.zst
    refused "lib/deep/data: Permission denied"
    left_nothing
    chmod 644 nobody/t/lib/deep/data
    chmod 000 nobody/t/lib/deep
    run as_nobody "$PBC_TOOL" bundle prefix nobody/t -o b.tar.zst
    refused "lib/deep: Permission denied"
    left_nothing
}

@test "a file that changes or vanishes while it is packed" {
    prefix
    head -c 8000000 /dev/urandom >t/lib/a
    printf 'x' >t/lib/z
    local what
    for what in 'rm t/lib/z' 'echo longer >>t/lib/z'; do
        # stopped once the bundle's file is there, which comes after the tree was looked at
        "$PBC_TOOL" bundle prefix t -o b.tar.zst -l 19 >log 2>&1 &
        appears 'b.tar.zst.*'
        kill -STOP $!
        eval "$what"
        kill -CONT $!
        status=0
        wait $! || status=$?
        output=$(<log)
        refused "t/lib/z"
        left_nothing
        printf 'x' >t/lib/z
    done
}

@test "a tree that was a bundle" {
    prefix
    pbcast bundle prefix t -q -o b.tar.zst
    unpack b.tar.zst
    pbcast bundle dir out -o c.tar.zst
    refused "out/.pbcast comes from a bundle that was unpacked"
    left_nothing c.tar.zst
    pbcast bundle dir out --exclude .pbcast -q -o c.tar.zst
    done_well
    [[ $(conf b.tar.zst | grep contents=) == "$(conf c.tar.zst | grep contents=)" ]]
}

@test "what bundles keep of themselves is no place for files, nor for a part of a tree" {
    mkdir -p t/.pbcast/x
    echo x >t/.pbcast/x/f
    pbcast bundle dir t --at .pbcast/x -o b.tar.zst
    refused "t comes from a bundle"
    left_nothing
    pbcast bundle dir t .pbcast/x -o b.tar.zst
    refused "t/.pbcast/x comes from a bundle"
    left_nothing
}

@test "scripts name the tree by a link as they are found, however the link is given" {
    local path
    mkdir t/bin
    ln -s . link
    printf 'x' >t/bin/program
    printf '#!%s/link/t/bin/program\n' "$PWD" >t/bin/script
    chmod 755 t/bin/*
    for path in "$PWD/link/t" "$PWD/link/t/" "$PWD//link/./t"; do
        pbcast bundle prefix "$path" -q -o b.tar.zst
        done_well
        [[ $(tar -xOf b.tar.zst bin/script) == '#!/usr/bin/env program' ]] || said "another line, by $path"
        pbcast bundle prefix "$path" bin -q -o b.tar.zst
        [[ $(tar -xOf b.tar.zst bin/script) == '#!/usr/bin/env program' ]] || said "another line, by $path"
    done
    cd link || return
    pbcast bundle dir t -q -o b.tar.zst
    [[ $(tar -xOf b.tar.zst bin/script) == '#!/usr/bin/env program' ]] || said "another line, by t"
}

@test "progress is a bar on a terminal, and nothing of it in a log" {
    head -c 30000000 /dev/urandom >t/noise
    TERM=xterm script -qec "'$PBC_TOOL' bundle dir t -l 19 -o b.tar.zst" log >/dev/null
    grep -q 'packing \[[#.]*\] *[0-9]* %' log
    "$PBC_TOOL" bundle dir t -o b.tar.zst 2>log
    [[ ! -s log ]]
}

@test "the bundle in the tree that it is made of" {
    prefix
    pbcast bundle prefix t -q -o t/lib/b.tar.zst
    done_well
    pbcast bundle prefix t -q -o t/lib/b.tar.zst
    refused "is the bundle itself"
    [[ -s t/lib/b.tar.zst ]]
}

@test "an old bundle stays until the new one is whole" {
    prefix
    echo old >b.tar.zst
    ln -s nowhere t/lib/broken
    pbcast bundle prefix t -o b.tar.zst
    refused "link to nothing"
    [[ $(<b.tar.zst) == old ]]
    rm t/lib/broken
    mkdir d.tar.zst
    pbcast bundle prefix t -o d.tar.zst
    refused "is there and no file"
    left_nothing d.tar.zst.
    pbcast bundle prefix t -o no/such/b.tar.zst
    refused 1 "No such file or directory"
}

@test "a full disk, and a signal, leave nothing" {
    [[ $EUID == 0 ]] || skip "needs root to mount"
    mkdir small
    head -c 9000000 /dev/urandom >t/noise
    run unshare --mount sh -c 'mount -t tmpfs -o size=4m none small && "$0" bundle dir t -q -o small/b.tar.zst; echo "status $?"; ls small' "$PBC_TOOL"
    says "No space left on device"
    says "status 4"
    says_no "b.tar.zst."
    head -c 30000000 /dev/urandom >t/noise
    local signal
    for signal in INT TERM HUP; do
        # bash starts what is in the background with SIGINT ignored
        env --default-signal=INT "$PBC_TOOL" bundle dir t -q -l 19 -o b.tar.zst 2>log &
        appears 'b.tar.zst.*'
        kill -$signal $!
        status=0
        wait $! || status=$?
        [[ $status == $((128 + $(kill -l $signal))) ]]
        grep -q '^pbcast: error: stopped: ' log
        left_nothing
    done
}

@test "a limit on files is told, and leaves nothing" {
    head -c 9000000 /dev/urandom >t/noise
    ulimit -f 1000
    pbcast bundle dir t -q -o b.tar.zst
    refused 1 "cannot write b.tar.zst: File too large"
    left_nothing
}

@test "usage" {
    pbcast
    [[ $status == 2 ]]
    pbcast --help
    done_well
    says bundle
    pbcast --version
    done_well
    says 'pbcast '
    pbcast nosuch
    refused 2 "no command 'nosuch'"
    pbcast bundle nosuch
    refused 2 "no kind of bundle 'nosuch'"
    pbcast bundle dir t
    refused 2 "name the bundle with -o"
    pbcast bundle dir -o b.tar.zst
    refused 2 "give DIR"
    pbcast bundle dir --nonsense t -o b.tar.zst
    [[ $status == 2 ]]
    pbcast bundle dir t -o b.tar.gz -l 12
    refused 2 "level of gzip"
    pbcast bundle dir t -o b.tar.gz -l 0
    refused 2 "level"
    pbcast bundle dir t -o b.tar.gz --limit many
    refused 2 "--limit"
    pbcast bundle dir t -o b.tar.gz --profile cobol
    refused 2 "a profile is one of"
    left_nothing b.tar
    local kind
    for kind in $("$PBC_TOOL" bundle --help | awk '/^  / { print $1 }'); do
        pbcast bundle "$kind" --help
        done_well
        says "usage: pbcast bundle $kind"
    done
}
