#!/usr/bin/env bats
# What bash offers behind "pbcast ".
load support

# complete WORD...: what is offered for the last one, a line each, in $output.
complete_words() {
    # shellcheck disable=SC1091
    . "$BATS_TEST_DIRNAME/../../etc/bash-completion/pbcast"
    COMP_WORDS=("$PBC_TOOL" "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    compopt() { :; }
    _pbcast
    output=$(printf '%s\n' "${COMPREPLY[@]}")
}
offers() { grep -qxF -- "$1" <<<"$output" || said "$1"; }

@test "commands, kinds, options, values and files" {
    complete_words ''
    offers bundle
    offers check
    offers --help
    complete_words b
    [[ $output == bundle ]]
    complete_words bundle ''
    offers prefix
    offers system-libs
    complete_words bundle dir --
    offers --exclude
    offers --at
    offers --output
    complete_words bundle conda --
    [[ $output != *--at* ]]
    complete_words check --
    offers --capacity
    complete_words bundle dir --profile c
    [[ $output == conda ]]
    : >'a file'
    complete_words inspect a
    offers 'a file'
    complete_words bundle system-libs -o x.tar.zst -- ech
    offers echo
    complete_words catalog ''
    offers add
    offers verify
    complete_words env --shell ''
    [[ $output == $'bash\nfish\ncsh\njson' ]]
    complete_words leaks -- ech
    offers echo
}

@test "every command that there is, and every option that its help names" {
    local command option seen=0
    complete_words ''
    for command in $("$PBC_TOOL" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
        offers $command
    done
    for command in bundle\ {prefix,dir,venv,conda,pip,module,system-libs} inspect check convert env leaks stage catalog\ add; do
        complete_words $command --
        for option in $("$PBC_TOOL" ${command% add} --help | grep -oE '^  .*' | grep -oE -- '--[a-z][a-z-]+' | sort -u); do
            [[ $option == --pbcast-* ]] || offers $option
            seen=$((seen + 1))
        done
    done
    ((seen > 60)) || said "more options than $seen"
}

@test "names of the catalogue" {
    printf 'pbcast-catalog=1\nbundle=python/3.11\npath=/x.tar\ndigest=%064d\n' 0 >catalog
    export PBCAST_CATALOG=$PWD/catalog
    complete_words catalog show p
    [[ $output == python/3.11 ]]
}
