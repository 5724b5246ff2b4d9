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
}
