# shellcheck shell=bash
# Slurm's accounting: MariaDB and slurmdbd on the controller's node, the data in its memory.

write_accounting() {
    (umask 077 && printf '%s\n' AuthType=auth/munge DbdHost=ctl SlurmUser=slurm \
        StorageType=accounting_storage/mysql StorageUser=slurm \
        LogFile=/cluster/log/slurmdbd.log PidFile=/run/slurmdbd.pid >"$STATE/etc/slurm/slurmdbd.conf")
    chown slurm:slurm "$STATE/etc/slurm/slurmdbd.conf"
    set_conf AccountingStorageType=accounting_storage/slurmdbd AccountingStorageHost=ctl
}

# start_accounting: before slurmctld, which wants its cluster to be known.
start_accounting() {
    # shellcheck disable=SC2016  # expanded in the node
    inside ctl bash -c '
        exec >>/cluster/log/mariadb.log 2>&1 </dev/null
        install -d -o mysql -g mysql /run/mysqld /run/db
        mariadb-install-db --no-defaults --user=mysql --datadir=/run/db --skip-test-db || exit 1
        mariadbd --no-defaults --user=mysql --datadir=/run/db --socket=/run/mysqld/mysqld.sock \
            --skip-networking --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 &
        for ((i = 0; i < 1200; i++)); do
            mariadb --no-defaults -e "CREATE USER slurm@localhost IDENTIFIED VIA unix_socket;
                GRANT ALL ON slurm_acct_db.* TO slurm@localhost" && exit 0
            sleep 0.05
        done
        exit 1' || { printf 'mariadb\n' >"$STATE/run/failed"; return 1; }
    start_daemon ctl 6819 slurmdbd && inside ctl sacctmgr -i add cluster "$NAME" >/dev/null
}
