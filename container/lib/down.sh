# shellcheck shell=bash
# Ends a cluster, whatever state it is in.

# same_process PID START: the process is still the one seen before.
same_process() { [[ -n $2 && $(process_start "$1") == "$2" ]]; }

# process_start PID: when it started; nothing when it is dead.
process_start() {
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    stat=${stat##*) }
    # shellcheck disable=SC2086  # words are wanted
    set -- $stat
    [[ $1 == Z ]] || printf '%s\n' "${20}"
}

# Processes outside the cluster's PID namespaces which live in one of its mount
# or network namespaces ("PID START"): the waiting halves of `cluster run`, and
# whatever someone started there by hand.
guests() {
    local pid node files=()
    while read -r pid node; do
        files+=("/proc/$pid/ns/mnt" "/proc/$pid/ns/net")
    done < <(find_first_processes)
    ((${#files[@]})) || return 0
    {
        find /proc/self/ns/mnt /proc/self/ns/net -printf 'own %l\n'
        find "${files[@]}" -printf 'cluster %l\n'
        find /proc/[0-9]*/ns/mnt /proc/[0-9]*/ns/net -printf '%h %l\n' || true # some end meanwhile
    } 2>/dev/null | awk '
        $1 == "own" { own[$2] = 1; next }
        $1 == "cluster" { if (!($2 in own)) ours[$2] = 1; next }
        $2 in ours { split($1, path, "/"); if (!seen[path[3]]++) print path[3] }' |
        while read -r pid; do
            printf '%s %s\n' "$pid" "$(process_start "$pid")"
        done
}

cmd_down() {
    (($# == 0)) || die "down takes no arguments"
    [[ $EUID == 0 ]] || die "must be run as root"
    if [[ -e $STATE ]] && ! state_is_ours; then
        die "$STATE is not the state directory of a cluster; not touched"
    fi
    local members pid start node i found=0
    [[ ! -e $STATE ]] || found=1
    # All members are looked up while their namespaces live: the numbers of dead
    # namespaces are used again, perhaps by another cluster.
    members=$(guests)
    [[ -z $members ]] || found=1
    # The anchor first: the kernel then kills all below it. More rounds only for
    # nodes whose anchor died while they were being made.
    for ((i = 0; i < 200; i++)); do
        node=$(find_first_processes)
        [[ -n $node ]] || break
        while read -r pid node; do
            kill -9 "$pid" 2>/dev/null || true
        done < <(sort -k2 <<<"$node")
        sleep 0.05
    done
    for ((i = 0; i < 200; i++)); do
        local left=0
        while read -r pid start; do
            if [[ -z $pid ]] || ! same_process "$pid" "$start"; then continue; fi
            left=1
            ((i < 10)) || kill -9 "$pid" 2>/dev/null || true
        done <<<"$members"
        ((left)) || break
        sleep 0.05
    done
    if state_is_ours && remove_cgroups; then
        rm -rf --one-file-system -- "$STATE" || true
    fi
    verify_gone "$members" || exit 1
    if ((found)); then
        note "'$NAME' is down: no process, mount or file of it is left"
    else
        note "'$NAME' was not up; nothing to do"
    fi
}

verify_gone() {
    local pid start bad=0
    while read -r pid start; do
        if [[ -n $pid ]] && same_process "$pid" "$start"; then
            note "still alive: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
            bad=1
        fi
    done < <(printf '%s\n' "$1")
    if [[ -n $(find_first_processes) ]]; then
        note "still alive:" "$(find_first_processes | tr '\n' ' ')"
        bad=1
    fi
    if grep -F -- " $STATE" /proc/self/mounts >&2; then
        note "still mounted (above)"
        bad=1
    fi
    if [[ -e $STATE ]]; then
        note "could not remove $STATE"
        bad=1
    fi
    return "$bad"
}
