# shellcheck shell=bash
# Where things run, the same for every contender: servers in one cpuset and clients in another,
# because a program may pin its threads itself, and threads that the kernel makes for it follow
# cpusets alone; the kernel's unbound workers (of loop and nbd) by their mask. With one queue that
# is CPU 0 for servers and CPU 1 for clients. With two queues both have both CPUs, and whoever
# pins its queues' threads to the queues' CPUs does.

readonly cgroups=/sys/fs/cgroup/bench unbound=/sys/devices/virtual/workqueue/cpumask

make_places() {
  mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup
  unbound_before=$(<"$unbound")
  echo +cpuset >/sys/fs/cgroup/cgroup.subtree_control
  mkdir "$cgroups"
  echo +cpuset >"$cgroups/cgroup.subtree_control"
  mkdir "$cgroups/server" "$cgroups/client"
}

# place_for QUEUES
place_for() {
  if [ "$1" = 1 ]; then
    client_cpus=1
    echo 0 >"$cgroups/server/cpuset.cpus"
    echo 1 >"$unbound"
  else
    client_cpus=0,1
    echo 0-1 >"$cgroups/server/cpuset.cpus"
    echo 3 >"$unbound"
  fi
  echo "$client_cpus" >"$cgroups/client/cpuset.cpus"
}

remove_places() {
  [ -d "$cgroups" ] || return 0
  kill_servers
  rmdir "$cgroups/server" "$cgroups/client" "$cgroups"
  echo "$unbound_before" >"$unbound"
}

# server COMMAND…, client COMMAND…: in its cpuset. `in_group` becomes the command: for a background
# job, whose process id is then the command's.
server() { (in_group server "$@"); }
client() { (in_group client "$@"); }

in_group() {
  echo "$BASHPID" >"$cgroups/$1/cgroup.procs"
  shift
  exec "$@"
}

no_servers() { [ -z "$(<"$cgroups/server/cgroup.procs")" ]; }

kill_servers() {
  no_servers || echo 1 >"$cgroups/server/cgroup.kill"
  wait_until 20 no_servers
}

# ---- waiting ----

# wait_until SECONDS COMMAND…: poll until the command succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS <= deadline)) || return 1
    sleep 0.05
  done
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

end_child() {
  [ -n "$child" ] || return 0
  kill -TERM "$child" 2>/dev/null || true
  wait_until 30 has_ended "$child" || kill -KILL "$child"
  wait "$child" || true
  child=
}
