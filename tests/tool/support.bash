# shellcheck shell=bash
# What the tests of pbcast(1) share. PBC_TOOL is the program; each test has a directory of its own.

setup() {
    [[ -x ${PBC_TOOL:-} ]] || { echo "PBC_TOOL names no program" >&2 && return 1; }
    umask 022
    cd "$BATS_TEST_TMPDIR" || return
    mkdir t .temporary
    chmod 1777 .temporary
    export TMPDIR=$BATS_TEST_TMPDIR/.temporary
}

# However a command ends, nothing of it stays.
teardown() {
    [[ -z $(ls -A "$BATS_TEST_TMPDIR/.temporary") ]] || said "no temporary files: $(ls "$BATS_TEST_TMPDIR/.temporary")"
}

# pbcast ARG...: its output (both streams) in $output, its status in $status.
pbcast() { run "$PBC_TOOL" "$@"; }

done_well() { [[ $status == 0 ]] || said "exit status 0"; }
refused() { # [STATUS] TEXT: one error line that has TEXT
    local code=3
    [[ ! $1 =~ ^[0-9]$ ]] || { code=$1 && shift; }
    [[ $status == "$code" ]] || said "exit status $code"
    [[ $(grep -c '^pbcast: error: ' <<<"$output") == 1 ]] || said "one line of error"
    [[ $output == *"$1"* ]] || said "$1"
}
says() { [[ $output == *"$1"* ]] || said "$1"; }
says_no() { [[ $output != *"$1"* ]] || said "no $1"; }
# Standard input has no line that matches. (bats takes "! command" for a success.)
lacks() { ! grep -E -- "$1" || said "no line with $1"; }
said() {
    printf 'wanted: %s\ngot (%s): %s\n' "$1" "$status" "$output" >&2
    return 1
}

# Neither a bundle nor what it was to be.
left_nothing() { # NAME...
    local name
    for name in "${@:-b.tar.zst}"; do
        [[ -z $(compgen -G "$name*") ]] || said "nothing left: $(compgen -G "$name*")"
    done
}

# Waits for a file of that pattern.
appears() {
    local i
    for ((i = 0; i < 20000; i++)); do
        if compgen -G "$1" >/dev/null; then return; fi
        ((i < 1000)) || sleep 0.001
    done
    said "a file $1"
}
unpack() { # BUNDLE [DIR]
    mkdir -p "${2:-out}" && tar -C "${2:-out}" -xf "$1"
}
conf() { tar -xOf "${1:-b.tar.zst}" .pbcast/bundle.conf; }
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
