# shellcheck shell=bash
# For the programs of test/pqxx: builds them, and leads them to a server that has the extension.
# That is the one that PGHOST names, with the extension installed by its owner, else a throwaway one.
# shellcheck source=test/cluster.sh
source "$(dirname "${BASH_SOURCE[0]}")/cluster.sh"

clients_start() {
    local database=$1
    plain_make -s -C "$ROOT/test/pqxx"
    if [[ -n ${PGHOST:-} ]]; then
        echo "using the server at $PGHOST"
        return
    fi
    cluster_prepare
    cluster_build
    cluster_start 'max_connections = 200' 'shared_buffers = 512MB'
    PGDATABASE=postgres psql -Xqc "CREATE DATABASE $database"
    export PGDATABASE=$database
    echo "throwaway cluster in $WORK"
}
