#!/usr/bin/env bash
# A small cluster on one machine for tests: every host is a set of namespaces (network, host name, mounts, processes) on a bridge
# that only they see, so hosts have their own names, addresses and /dev/shm, and nothing listens outside. Needs root.
#   cluster.sh start DIR HOSTS            hosts n1 .. nHOSTS and the login host ctl, without a scheduler
#   cluster.sh start-slurm DIR HOSTS      the same with Slurm: the controller on ctl, a slurmd on each host (4 CPUs each)
#   cluster.sh enter DIR HOST COMMAND...  runs a command on a host
#   cluster.sh agent DIR                  path of an rsh agent for mpirun: AGENT HOST COMMAND...
#   cluster.sh power-off DIR HOST         ends a host at once
#   cluster.sh stop DIR                   ends everything that start began; DIR stays
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,9s/^# //p' "$0"; exit 2; }
verb=$1 DIR=$(realpath -m "$2")
shift 2
export SLURM_CONF="$DIR/etc/slurm.conf"

pid_of() { cat "$DIR/run/$1.ns"; }
enter() { # enter HOST COMMAND...
  local host=$1
  shift
  nsenter -t "$(pid_of "$host")" --net --uts --ipc --mount --pid -- "$@"
}

# The first process of a host: it reaps orphans and dies with its unshare parent.
hold() { # hold HOST
  local host=$1 parent child
  rm -f "$DIR/run/$host.ready"
  setsid unshare --net --uts --ipc --mount --pid --fork --kill-child --mount-proc bash -c '
    hostname "$1"
    mount --bind "$2/etc/hosts" /etc/hosts
    mount -t tmpfs -o size=256m,mode=1777 shm /dev/shm
    ip link set lo up
    : > "$2/run/$1.ready"
    while :; do sleep 3600 & wait $!; done' "init-$host" "$host" "$DIR" </dev/null >>"$DIR/log/$host.init" 2>&1 &
  parent=$!
  for _ in $(seq 500); do [ -e "$DIR/run/$host.ready" ] && break; sleep 0.02; done
  [ -e "$DIR/run/$host.ready" ] || { echo "cluster.sh: $host: $(tail -1 "$DIR/log/$host.init")" >&2; exit 1; }
  child=$(cat "/proc/$parent/task/$parent/children")
  echo "$parent" >"$DIR/run/$host.unshare"
  echo "${child%% *}" >"$DIR/run/$host.ns"
}

wire() { # wire nK: a cable between the bridge in ctl and eth0 in nK
  local host=$1 number=${1#n}
  nsenter -t "$(pid_of ctl)" --net ip link add "v$host" type veth peer name eth0 netns "$(pid_of "$host")"
  enter ctl ip link set "v$host" master br0 up
  enter "$host" ip addr add "10.77.0.$((10 + number))/24" dev eth0
  enter "$host" ip link set eth0 up
}

start_hosts() { # start_hosts COUNT
  local k
  mkdir -p "$DIR"/{etc,run,log,state,spool,munge,tmp}
  chmod 755 "$DIR" "$DIR"/*
  chmod 711 "$DIR/munge"
  {
    echo "127.0.0.1 localhost"
    echo "10.77.0.1 ctl"
    for k in $(seq "$1"); do echo "10.77.0.$((10 + k)) n$k"; done
  } >"$DIR/etc/hosts"
  hold ctl
  enter ctl ip link add br0 type bridge
  enter ctl ip addr add 10.77.0.1/24 dev br0
  enter ctl ip link set br0 up
  for k in $(seq "$1"); do mkdir -p "$DIR/tmp/n$k"; hold "n$k"; wire "n$k"; done
  # What mpirun calls instead of ssh. It is called outside, where process numbers are those of DIR/run.
  cat >"$DIR/agent" <<AGENT
#!/usr/bin/env bash
host=\$1
shift
exec nsenter -t "\$(cat "$DIR/run/\$host.ns")" --net --uts --ipc --mount --pid -- bash -c "\$*"
AGENT
  chmod +x "$DIR/agent"
}

write_slurm_conf() { # write_slurm_conf COUNT
  cat >"$SLURM_CONF" <<CONF
ClusterName=podium
SlurmctldHost=ctl(10.77.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd.%n.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/log/jobcomp.txt
TmpFS=$DIR/tmp/%n
SwitchType=switch/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
EnforcePartLimits=ALL
ReturnToService=2
SlurmdTimeout=10
MessageTimeout=5
TCPTimeout=2
KillWait=5
JobRequeue=1
RequeueExit=75
NodeName=n[1-$1] NodeAddr=10.77.0.[11-$((10 + $1))] CPUs=4 Boards=1 SocketsPerBoard=1 CoresPerSocket=4 ThreadsPerCore=1 RealMemory=4000
PartitionName=gpu Nodes=n[1-$1] Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=REQUEUE GraceTime=4
PartitionName=urgent Nodes=n[1-$1] MaxTime=INFINITE PriorityTier=20 PreemptMode=OFF
CONF
  printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$DIR/etc/cgroup.conf"
  # Debian's Slurm keeps its daemons in /usr/sbin, its plugins beside them: nothing else to say.
  (umask 077 && dd if=/dev/urandom of="$DIR/munge/munge.key" bs=128 count=1 status=none)
}

start_slurm() { # start_slurm COUNT
  local k
  write_slurm_conf "$1"
  enter ctl munged --force --key-file="$DIR/munge/munge.key" --socket="$DIR/munge/munge.socket" \
    --pid-file="$DIR/munge/munged.pid" --seed-file="$DIR/munge/munged.seed" --log-file="$DIR/log/munged.log" --num-threads=2
  enter ctl slurmctld -c -i -f "$SLURM_CONF"
  for k in $(seq "$1"); do enter "n$k" slurmd -N "n$k" -f "$SLURM_CONF"; done
  for _ in $(seq 300); do
    [ "$(enter ctl sinfo -h -N -p gpu -t idle -o %N 2>/dev/null | wc -l)" = "$1" ] && return 0
    sleep 0.1
  done
  enter ctl sinfo >&2 || true
  tail -5 "$DIR"/log/*.log >&2
  exit 1
}

stop() {
  local file
  for file in "$DIR"/run/*.unshare; do # --kill-child: the namespace and all in it end with it
    [ -e "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
  done
  rm -f "$DIR"/run/*.unshare "$DIR"/run/*.ns
}

case $verb in
  start) start_hosts "$1" ;;
  start-slurm) start_hosts "$1"; start_slurm "$1" ;;
  enter) enter "$@" ;;
  agent) echo "$DIR/agent" ;;
  power-off) kill -9 "$(pid_of "$1")" ;;
  stop) stop || true ;;
  *) echo "cluster.sh: unknown verb '$verb'" >&2; exit 2 ;;
esac
