# shellcheck shell=bash
# Writes the files of a cluster: users, hosts, munge key, Slurm's configuration.

write_users() {
    local entry name id home
    # The host's system accounts stay; its people are not part of the cluster.
    awk -F: '$3 < 1000 || $3 >= 60000' /etc/passwd >"$STATE/etc/passwd"
    awk -F: '$3 < 1000 || $3 >= 60000' /etc/group >"$STATE/etc/group"
    # su, with which slurmd asks for a user's environment (newer ones fail the job without it), wants
    # an account that is not locked.
    install -m 640 -g shadow /etc/shadow "$STATE/etc/shadow"
    for entry in "${USERS[@]}"; do
        name=${entry%:*} id=${entry#*:} home=/shared/home/$name
        sed -i "/^$name:/d" "$STATE"/etc/{passwd,group,shadow}
        printf '%s:*:1::::::\n' "$name" >>"$STATE/etc/shadow"
        printf '%s:x:%d:%d:%s:%s:/bin/bash\n' "$name" "$id" "$id" "$name" "$home" >>"$STATE/etc/passwd"
        printf '%s:x:%d:\n' "$name" "$id" >>"$STATE/etc/group"
        install -d -m 755 -o "$id" -g "$id" "$STATE/shared/home/$name"
        printf 'set -a\n. /cluster/etc/environment\nset +a\n' >"$STATE/shared/home/$name/.profile"
    done
    # What every user's session has; Slurm carries it to the tasks. OpenMPI would
    # probe for fabrics, and spin on cores that the nodes share.
    printf '%s\n' OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader,tcp OMPI_MCA_mpi_yield_when_idle=1 \
        >"$STATE/etc/environment"
}

write_hosts() {
    local node
    printf '127.0.0.1 localhost anchor\n' >"$STATE/etc/hosts"
    for node in ctl login $(node_names); do
        printf '%s %s\n' "$(address_of "$node")" "$node" >>"$STATE/etc/hosts"
        printf 'neigh replace %s lladdr %s dev eth0 nud permanent\n' \
            "$(address_of "$node")" "$(mac_of "$node")" >>"$STATE/etc/neighbours"
    done
}

write_munge() {
    install -d -m 700 "$STATE/munge"
    install -d -m 755 "$STATE/munge/run"
    (umask 077 && head -c 1024 /dev/urandom >"$STATE/munge/key")
    chmod 711 "$STATE/munge"
}

# write_slurm CPUS PMIX(1|0)
write_slurm() {
    local cpus=$1 pmix=$2 n plugins
    n=$(<"$STATE/nodes")
    plugins=$(plugin_dir)
    if [[ $pmix == 0 ]]; then
        # A Slurm that was built without PMIx: the same plugins, less this one.
        mkdir "$STATE/plugins"
        find "$plugins" -name '*.so' ! -name 'mpi_pmix*' -exec ln -s -t "$STATE/plugins" {} +
        plugins=/cluster/plugins
    fi
    # shellcheck disable=SC2153  # NAME is the cluster's
    cat >"$STATE/etc/slurm/slurm.conf" <<EOF
ClusterName=$NAME
SlurmctldHost=ctl
SlurmUser=slurm
AuthType=auth/munge
CredType=cred/munge
PluginDir=$plugins
MpiDefault=$([[ $pmix == 1 ]] && echo pmix || echo pmi2)
StateSaveLocation=/cluster/state
SlurmdSpoolDir=/run/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/cluster/log/slurmctld.log
SlurmdLogFile=/cluster/log/slurmd-%n.log
MailProg=/bin/true
LogTimeFormat=iso8601_ms
SlurmdDebug=verbose
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=/cluster/log/jobcomp.log
ReturnToService=2
KillWait=5
SlurmdTimeout=300
MessageTimeout=60
TreeWidth=50
DefMemPerCPU=256
NodeName=n[1-$n] CPUs=$cpus RealMemory=$((cpus * 256)) State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    if slurm_is 24.05; then
        printf 'CgroupPlugin=disabled\n' >"$STATE/etc/slurm/cgroup.conf"
    else
        printf 'CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n' >"$STATE/etc/slurm/cgroup.conf"
    fi
    install -d -m 755 -o slurm -g slurm "$STATE/state" "$STATE/log"
}

# set_conf KEY=VALUE...: replaces lines of slurm.conf, or adds them.
set_conf() {
    local line
    for line; do
        [[ $line =~ ^[A-Za-z]+= ]] || die "'$line' is not KEY=VALUE of slurm.conf"
        case $line in
            NodeName=* | PartitionName=*) ;; # these may stand more than once
            *) sed -i "/^${line%%=*}=/Id" "$STATE/etc/slurm/slurm.conf" ;;
        esac
        printf '%s\n' "$line" >>"$STATE/etc/slurm/slurm.conf"
    done
}

# The job's private mounts are made when it starts, not with its first step.
write_job_container() {
    /usr/bin/python3 "$STATE/lib/oldest-cpu.py" >"$STATE/cpu"
    printf 'AutoBasePath=true\nBasePath=/run/slurm-jobs\n' >"$STATE/etc/slurm/job_container.conf"
    if slurm_is 25.11; then
        set_conf NamespaceType=namespace/tmpfs PrologFlags=Contain
    else
        set_conf JobContainerType=job_container/tmpfs PrologFlags=Contain
    fi
}

# Tasks are bound to their processors and held to their memory.
write_cgroup_plugins() {
    printf '%s\n' CgroupAutomount=no ConstrainCores=yes ConstrainRAMSpace=yes >>"$STATE/etc/slurm/cgroup.conf"
    set_conf ProctrackType=proctrack/cgroup TaskPlugin=task/affinity,task/cgroup \
        JobAcctGatherType=jobacct_gather/cgroup
}

plugin_dir() {
    local dir places=(/usr/lib/*/slurm-wlm /usr/lib64/slurm /usr/lib/slurm)
    ! dir=$(slurm_prefix) || places=("$dir"/lib/slurm "$dir"/lib64/slurm "$dir"/lib/*/slurm*)
    for dir in "${places[@]}"; do
        if [[ -e $dir/auth_munge.so ]]; then
            printf '%s\n' "$dir"
            return
        fi
    done
    die "found no Slurm plugin directory (${places[*]}); run container/install-deps"
}

# write_plugstack LINE...: no line, no plugin.
write_plugstack() {
    local line file=$STATE/etc/slurm/plugstack.conf
    : >"$file.new"
    for line; do printf '%s\n' "$line" >>"$file.new"; done
    mv -- "$file.new" "$file"
}
