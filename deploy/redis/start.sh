#!/bin/sh
# Start a Redis server with these files: start.sh pair|cluster FOLDER [option...]
# FOLDER is the server's own: it gets the files with the passwords put in, and the data. The passwords come from
# APP_PASSWORD, OPERATIONS_PASSWORD, MONITORING_PASSWORD and REPLICATION_PASSWORD; letters, digits, - and _ only.
# REDIS_SERVER names another program, such as valkey-server.
set -eu
umask 077
form=$1 folder=$2
shift 2
script=s/a/a/
for name in APP_PASSWORD OPERATIONS_PASSWORD MONITORING_PASSWORD REPLICATION_PASSWORD; do
    eval "value=\${$name:?must be set}"
    case $value in *[!A-Za-z0-9_-]*) echo "$name: letters, digits, - and _ only" >&2; exit 2 ;; esac
    script="$script;s/@$name@/$value/"
done
mkdir -p "$folder"
for file in common.conf "$form.conf" users.acl; do
    sed "$script" "$(dirname "$0")/$file" > "$folder/$file"
done
cd "$folder"
exec "${REDIS_SERVER:-redis-server}" "$form.conf" "$@"
