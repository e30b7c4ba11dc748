#!/bin/sh
# Make one cluster of four new nodes: form-cluster.sh PRIMARY1 REPLICA1 PRIMARY2 REPLICA2, each as host:port, or
# host:port@bus where the cluster bus has another port than 10000 more.
# (redis-cli --cluster create refuses two primaries.) Does nothing where the cluster exists. Needs redis-cli,
# getent, and OPERATIONS_PASSWORD.
set -eu
: "${OPERATIONS_PASSWORD:?must be set}"

ask() { # ask HOST:PORT COMMAND...
    node=${1%@*}
    shift
    REDISCLI_AUTH=$OPERATIONS_PASSWORD redis-cli -h "${node%:*}" -p "${node##*:}" --user operations "$@"
}

address_of() { # HOST:PORT@BUS -> "IP PORT BUS": CLUSTER MEET takes no names
    ports=${1##*:}
    port=${ports%@*} bus=${ports#*@}
    if [ "$bus" = "$ports" ]; then bus=$((port + 10000)); fi
    echo "$(getent ahostsv4 "${1%:*}" | awk '{print $1; exit}') $port $bus"
}

until_says() { # until_says HOST:PORT TEXT COMMAND...: wait up to 30 s
    node=$1 text=$2
    shift 2
    for _ in $(seq 300); do
        if ask "$node" "$@" 2>/dev/null | grep -q "$text"; then return; fi
        sleep 0.1
    done
    echo "$node does not say $text to $*" >&2
    exit 1
}

for node in "$@"; do until_says "$node" PONG PING; done
if ask "$1" CLUSTER INFO | grep -q cluster_slots_assigned:16384; then
    echo "The cluster is there."
    exit 0
fi
ask "$1" CLUSTER ADDSLOTSRANGE 0 8191
ask "$3" CLUSTER ADDSLOTSRANGE 8192 16383
for from in "$@"; do # each with each: gossip alone takes seconds
    for to in "$@"; do
        # shellcheck disable=SC2046 # three words are wanted
        if [ "$from" != "$to" ]; then ask "$from" CLUSTER MEET $(address_of "$to"); fi
    done
done
for node in "$@"; do until_says "$node" cluster_known_nodes:4 CLUSTER INFO; done
first=$(ask "$1" CLUSTER MYID)
second=$(ask "$3" CLUSTER MYID)
until_says "$2" "$first" CLUSTER NODES
until_says "$4" "$second" CLUSTER NODES
ask "$2" CLUSTER REPLICATE "$first"
ask "$4" CLUSTER REPLICATE "$second"
for node in "$2" "$4"; do until_says "$node" master_link_status:up INFO replication; done
for node in "$@"; do
    until_says "$node" cluster_state:ok CLUSTER INFO
    until_says "$node" "slave[a-z,]* $first" CLUSTER NODES
    until_says "$node" "slave[a-z,]* $second" CLUSTER NODES
done
echo "The cluster is made: 2 shards of a primary and a replica."
