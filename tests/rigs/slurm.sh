#!/usr/bin/env bash
# A real SLURM on one host, for tests: munge, slurmctld, slurmd; no systemd, no accounting database. Processes are tracked
# by cgroups, as on clusters, where the host has them as version 1: a signal then reaches the first of a step alone. GPUs
# are pretended: a character device stands for each, and jobs get CUDA_VISIBLE_DEVICES. Wall time is enforced, memory is
# counted but not enforced. The partition gpu has all nodes, cpu the last alone. Debian or Ubuntu, as root.
#   tests/rigs/slurm.sh up FOLDER [NODES]    installs what is missing, writes /etc/slurm, starts the daemons
#   tests/rigs/slurm.sh down FOLDER          stops them, by the process ids in FOLDER, and removes what it wrote there
# It overwrites /etc/slurm/{slurm,gres,cgroup}.conf, so not for a host that belongs to a cluster.
set -euo pipefail
command=$1
folder=$(mkdir -p "$2" && cd "$2" && pwd)
nodes=${3:-2}
host=$(hostname -s)
cpus=4
devices=(/dev/null /dev/zero /dev/full /dev/random)

stop() { # NAME: the daemon that this script started under this name
    local file=$folder/run/$1.pid pid
    [ -s "$file" ] || return 0
    pid=$(tr -dc 0-9 < "$file")
    if grep -qs "^${1%%-*}" "/proc/$pid/comm"; then
        kill "$pid"
        for _ in $(seq 100); do [ -d "/proc/$pid" ] || break; sleep 0.1; done
        [ ! -d "/proc/$pid" ] || kill -9 "$pid"
    fi
    rm -f "$file"
}

await() { # SECONDS WHAT COMMAND…
    local limit=$1 what=$2
    shift 2
    for _ in $(seq $((limit * 10))); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done
    echo "slurm.sh: no $what after $limit s" >&2
    return 1
}

install() {
    local missing=()
    for package in slurmctld slurmd slurm-client munge; do
        dpkg -s "$package" > /dev/null 2>&1 || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    # Without this apt would start the daemons itself.
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
}

configure() {
    mkdir -p "$folder"/{run,log,ctld,slurmd} /etc/slurm
    local track=linuxproc
    if [ -w /sys/fs/cgroup/freezer ]; then
        track=cgroup
        printf 'CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\n' > /etc/slurm/cgroup.conf
    fi
    cat > /etc/slurm/slurm.conf <<CONF
ClusterName=rig
SlurmctldHost=$host(127.0.0.1)
AuthType=auth/munge
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/ctld
SlurmdSpoolDir=$folder/slurmd/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/$track
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
GresTypes=gpu
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=5,bf_interval=5,sched_min_interval=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
Waittime=0
OverTimeLimit=0
# Finished jobs stay visible to squeue this many seconds.
MinJobAge=3600
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
CONF
    : > /etc/slurm/gres.conf
    for number in $(seq "$nodes"); do
        echo "NodeName=rig$number NodeHostname=$host NodeAddr=127.0.0.1 Port=$((17000 + number)) CPUs=$cpus" \
            "CoresPerSocket=$cpus RealMemory=16000 Gres=gpu:2 State=UNKNOWN" >> /etc/slurm/slurm.conf
        for gpu in 0 1; do
            echo "NodeName=rig$number Name=gpu File=${devices[$gpu]}" >> /etc/slurm/gres.conf
        done
    done
    # A job that was sent to no partition goes to the one named nowhere else.
    echo "PartitionName=gpu Nodes=rig[1-$nodes] MaxTime=INFINITE State=UP" >> /etc/slurm/slurm.conf
    echo "PartitionName=cpu Nodes=rig$nodes MaxTime=INFINITE State=UP" >> /etc/slurm/slurm.conf
    echo "PartitionName=other Nodes=rig[1-$nodes] Default=YES MaxTime=INFINITE State=UP" >> /etc/slurm/slurm.conf
}

start_munge() {
    ! munge -n < /dev/null > /dev/null 2>&1 || return 0
    command install -d -m 0755 -o munge -g munge /run/munge
    command install -d -m 0700 -o munge -g munge /var/log/munge /var/lib/munge /etc/munge
    [ -s /etc/munge/munge.key ] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chown munge:munge /etc/munge/munge.key
    chmod 400 /etc/munge/munge.key
    setpriv --reuid=munge --regid=munge --clear-groups munged --pid-file=/run/munge/munged.pid
    await 10 munged munge -n
    cp /run/munge/munged.pid "$folder/run/munged.pid"
}

down() {
    for file in "$folder"/run/slurmd-*.pid; do stop "$(basename "$file" .pid)"; done
    stop slurmctld
    stop munged
    find /sys/fs/cgroup/freezer/slurm_rig* -depth -type d -exec rmdir {} + 2> /dev/null || true
    # Every start of Snakemake runs `scontrol`, which waits ten seconds for the controller of a configuration that is there.
    ! grep -qsx ClusterName=rig /etc/slurm/slurm.conf || rm -f /etc/slurm/{slurm,gres,cgroup}.conf
}

case $command in
up)
    install
    down
    configure
    start_munge
    rm -f "$folder/ctld/clustername"
    # -c: without the jobs and node states that an earlier run left.
    slurmctld -c
    await 30 slurmctld scontrol ping
    for number in $(seq "$nodes"); do slurmd -N "rig$number"; done
    await 30 nodes sh -c "[ \$(sinfo -h -N -t idle -p gpu | wc -l) = $nodes ]"
    sinfo -N -o '%N %P %t %c %m %G'
    ;;
down) down ;;
*) echo "usage: $0 up|down FOLDER [NODES]" >&2; exit 2 ;;
esac
