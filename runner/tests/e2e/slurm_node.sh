#!/bin/sh
# Slurm on this machine, one node with two slots, for as long as a job takes:
#     slurm_node.sh OPTIONS OF sbatch
# Its files are in a folder `slurm` below this one.
D=$PWD/slurm
H=$(hostname -s)
umask 077
mkdir -p "$D/state" "$D/spool"
head -c 64 /dev/urandom >"$D/key"
cat >"$D/slurm.conf" <<END
ClusterName=maskmatch
SlurmctldHost=$H(127.0.0.1)
SlurmctldPort=17817
SlurmdPort=17818
SlurmUser=root
AuthInfo=socket=$D/socket
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool
SlurmctldPidFile=$D/slurmctld.pid
SlurmdPidFile=$D/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
MailProg=/bin/true
NodeName=$H NodeAddr=127.0.0.1 CPUs=2
PartitionName=all Nodes=$H Default=YES
END
export SLURM_CONF="$D/slurm.conf"
munged --foreground --force --key-file="$D/key" --socket="$D/socket" --pid-file="$D/pid" \
    --log-file="$D/log" --seed-file="$D/seed" &
munged=$!
until [ -S "$D/socket" ]; do sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" &
slurmctld=$!
slurmd -D -f "$SLURM_CONF" &
slurmd=$!
trap 'kill $slurmd $slurmctld $munged; wait' EXIT
until sinfo --noheader --states=idle | grep -q idle; do
    kill -0 $slurmd $slurmctld || exit 1
    sleep 0.2
done
sbatch "$@" || exit 1
# Slurm lets what it requeues wait for two minutes.
while [ -n "$(squeue --noheader)" ]; do
    for job in $(squeue --noheader --states=pending --format=%A); do
        scontrol update "JobId=$job" StartTime=now
    done
    sleep 0.5
done
