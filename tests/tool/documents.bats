#!/usr/bin/env bats
# Programs, manual pages, completion and the administrator's documents name the same things.
load support

TOP=$BATS_TEST_DIRNAME/../..

# The options that a help begins a line with, without "--".
help_options() { "$@" --help | grep -oE '^  .{0,4}--[a-z-]+(, --[a-z-]+)*' | grep -oE -- '--[a-z-]+' | sed 's/^--//' | sort -u; }
# Those that a manual page has, anywhere.
page_options() { sed 's/\\-/-/g' "$TOP/docs/man/$1" | grep -E '^\.(It|Op|Fl|Nm)' | grep -oE '(Fl|,) -[a-z][a-z-]+' | sed 's/^.* -//' | sort -u; }
# same_options PAGE PROGRAM [COMMAND]: -h and --version, which all have, do not count.
same_options() {
    local page=$1 differ
    shift
    [[ -n $(help_options "$@") ]] || said "options of $*"
    differ=$(diff <(help_options "$@" | grep -vxE 'help|version') <(page_options "$page" | grep -vxE "help|version|${NOT_ITS_OWN:-}")) ||
        said "the same options in $page as in the help of $*: $differ"
}

@test "the agent's options are in its page and in its completion" {
    local option
    # those of srun and mpirun, which the page shows
    NOT_ITS_OWN='ntasks-per-node|mpi|map-by' same_options pbcast-stage.1 "$PBC_AGENT"
    # shellcheck disable=SC1091
    . "$TOP/etc/bash-completion/pbcast-stage"
    COMP_WORDS=(pbcast-stage --) COMP_CWORD=1 COMPREPLY=()
    _pbcast_stage
    for option in $(help_options "$PBC_AGENT"); do
        [[ " ${COMPREPLY[*]} " == *" --$option "* ]] || said "--$option is offered"
    done
}

@test "the options of env, leaks and catalog are in their pages" {
    same_options pbcast-env.1 "$PBC_TOOL" env
    same_options pbcast-leaks.1 "$PBC_TOOL" leaks
    NOT_ITS_OWN=pbcast-bundle same_options pbcast-catalog.1 "$PBC_TOOL" catalog
}

@test "the options of the other commands are in pbcast(1)" {
    local command option
    for command in bundle\ {prefix,dir,venv,conda,pip,module,system-libs} inspect check convert stage; do
        for option in $(help_options "$PBC_TOOL" $command); do
            page_options pbcast.1 | grep -qx -- "$option" || sed 's/\\-/-/g' "$TOP/docs/man/pbcast.1" | grep -qE "^\.(Fl|Pq Fl)[^.]* -$option( |$)" ||
                said "--$option of $command"
        done
    done
}

@test "site keys: the same in the code, pbcast.conf(5), the guide and the example, with their defaults" {
    local key keys seen=0
    keys=$(sed -n '/^} keys\[\] = {/,/^};/s/^ *{"\([a-z_]*\)".*/\1/p' "$TOP/stage/core/site.c" | sort)
    [[ $keys == "$(sed -n 's/^\.It Ic \([a-z_]*\) Ns = Ns .*/\1/p; /^\.Sh CATALOGUE/q' "$TOP/docs/man/pbcast.conf.5" | sort)" ]] || said "pbcast.conf(5)"
    [[ $keys == "$(sed -n '/^## Settings/,/^## /s/^| `\([a-z_]*\)=.*/\1/p' "$TOP/docs/admin-guide.md" | sort)" ]] || said "the administrator's guide"
    [[ $keys == "$(sed -n 's/^#   \([a-z_]*\)=.*/\1/p' "$TOP/etc/plugstack.conf.d/pbcast.conf.in" | sort)" ]] || said "the example"
    for key in store mpi mirror_max timeout stall max_size min_free; do
        value=$(sed -n "s/^#   $key=\([^ ]*\) .*/\1/p" "$TOP/etc/plugstack.conf.d/pbcast.conf.in")
        grep -qE "^\| \`$key=[^|]*(\\\\\|no)?[^|]*\| \`?$value\`? \|" "$TOP/docs/admin-guide.md" || said "the guide: $key=$value"
        seen=$((seen + 1))
    done
    ((seen == 7))
}

@test "the plugin's options and variables are in pbcast(8) and the user guide" {
    local name
    for name in $(grep -oE '"pbcast-[a-z]+"' "$TOP/spank/options.c" | tr -d '"'); do
        sed 's/\\-/-/g' "$TOP/docs/man/pbcast.8" | grep -q "^\.It Fl -$name " || said "pbcast(8): --$name"
        grep -q "^| \`--$name" "$TOP/docs/user-guide.md" || said "the user guide: --$name"
    done
    for name in $(grep -oE '"(SLURM_)?PBCAST_[A-Z_]+"' "$TOP/spank/options.h" | tr -d '"'); do
        grep -qw "$name" "$TOP/docs/man/pbcast.8" || said "pbcast(8): $name"
        [[ $name != SLURM_* ]] || grep -qw "$name" "$TOP/docs/architecture.md" || said "architecture: $name"
    done
}
