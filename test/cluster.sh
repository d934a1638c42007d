# shellcheck shell=bash
# A throwaway PostgreSQL cluster with the extension in it. To be sourced:
#
#   cluster_prepare          a work folder ($WORK) that goes away when the script ends, however it ends
#   cluster_build            builds the extension and installs it for this cluster only
#   cluster_library          what to preload
#   cluster_start [setting]  initdb and start; afterwards PGHOST, PGPORT, PGUSER lead to it
#   as_server command...     runs a command as the user that owns the cluster, in $WORK
#
# The server listens on a socket inside $WORK and nowhere else. KEEP=1 leaves everything in place.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PG_CONFIG=${PG_CONFIG:-pg_config}
JOBS=${JOBS:-$(nproc 2>/dev/null || echo 2)}
WORK=
SERVER_USER=
DESTDIR_KNOWN=

die() {
    echo "$*" >&2
    exit 1
}

cluster_prepare() {
    BINDIR=$("$PG_CONFIG" --bindir) || die "there is no '$PG_CONFIG'"
    [[ -x $BINDIR/postgres ]] || die "there is no server in $BINDIR"
    TESTLIB=$(dirname "$("$PG_CONFIG" --pgxs)")/../test
    [[ -d $TESTLIB ]] && TESTLIB=$(cd "$TESTLIB" && pwd -P)
    PATH=$BINDIR:$PATH
    # Nothing of the caller's own surroundings shall lead to another server or another language.
    unset PGDATABASE PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGSERVICE PGOPTIONS PGDATA \
        PGPASSFILE PGSSLMODE PGAPPNAME PGCLIENTENCODING PGTZ PGDATESTYLE LANGUAGE
    export PATH LC_ALL=C PGCONNECT_TIMEOUT=30

    # The server refuses to run as root.
    SERVER_USER=$(id -un)
    if ((EUID == 0)); then
        SERVER_USER=${SERVER_USER_FOR_ROOT:-postgres}
        id -u "$SERVER_USER" >/dev/null 2>&1 || die "there is no user '$SERVER_USER' to run the server as"
    fi

    trap cluster_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # A socket's path may have some hundred characters only.
    local parent=${TMPDIR:-/tmp}
    ((${#parent} <= 60)) || parent=/tmp
    WORK=$(mktemp -d "$parent/hermet.XXXXXX")
    chmod 755 "$WORK"
    ((EUID)) || chown "$SERVER_USER:" "$WORK"
    if [[ $("$BINDIR/postgres" --describe-config) == *extension_destdir* ]]; then
        DESTDIR_KNOWN=1
    fi
}

as_server() {
    if ((EUID == 0)); then
        (cd "$WORK" && runuser -u "$SERVER_USER" -- env HOME="$WORK" "$@")
    else
        (cd "$WORK" && "$@")
    fi
}

# Copies into $WORK, so that the server's user can read and write it wherever the checkout lies.
copy_to_work() {
    local target=$WORK/$1
    shift
    mkdir -p "$target"
    cp -R "$@" "$target/"
    ((EUID)) || chown -R "$SERVER_USER:" "$target"
}

# A make of its own: the flags of the one that may have called us are not meant for it.
plain_make() {
    env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS -u DESTDIR make --no-print-directory -j"$JOBS" \
        PG_CONFIG="$PG_CONFIG" "$@"
}

cluster_build() {
    local log=$WORK/build.log
    plain_make -C "$ROOT" all >"$log" 2>&1 || {
        grep -E 'error|Error' "$log" | head -n 20 >&2 || true
        tail -n 30 "$log" >&2
        die 'the extension does not build'
    }
    if [[ $DESTDIR_KNOWN ]]; then
        plain_make -C "$ROOT" install DESTDIR="$WORK/install" >>"$log" 2>&1 || {
            tail -n 20 "$log" >&2
            die 'the extension does not install'
        }
        chmod -R a+rX "$WORK/install"
        [[ -z ${SHARDS:-} ]] || cluster_shard
    elif ! plain_make -C "$ROOT" install >>"$log" 2>&1; then
        tail -n 5 "$log" >&2
        die "this server has no extension_destdir setting, and $("$PG_CONFIG" --sharedir) is not" \
            "writable: run 'make install' with the rights it needs, then again"
    fi
}

# SHARDS=4,8 makes every instance that the tests create a sharded one: what is installed for this
# cluster has other defaults of hermet.create_tables(). Tests move rows to negative ids and back, and
# have instances made by roles that are no superusers, so that goes there, too.
cluster_shard() {
    local channel=${SHARDS%,*} user=${SHARDS#*,} script
    [[ $DESTDIR_KNOWN ]] || die 'SHARDS needs a server that knows extension_destdir'
    for script in "$WORK/install$("$PG_CONFIG" --sharedir)"/extension/hermet--*.sql; do
        # What 0.1.0 makes is plain.
        grep -q 'hermet.create_shard_operators(' "$script" || continue
        sed -i -e "s/channel_shards int DEFAULT 0, user_shards int DEFAULT 0/channel_shards int DEFAULT $channel, user_shards int DEFAULT $user/" \
            -e '/^CREATE .*FUNCTION hermet.catalog_shards(/,/^COMMENT/ s/ARRAY\[[^]]*\]/NULL::text[]/' \
            -e '/^CREATE .*FUNCTION hermet.create_shard_operators(/,/^COMMENT/ s/LANGUAGE plpgsql/& SECURITY DEFINER/' "$script"
    done
    grep -q "channel_shards int DEFAULT $channel, user_shards int DEFAULT $user" "$script" || die 'the installed script has no shards to set'
}

# What shared_preload_libraries calls the library: extension_destdir does not lead there.
cluster_library() {
    if [[ $DESTDIR_KNOWN ]]; then
        echo "$WORK/install$("$PG_CONFIG" --pkglibdir)/hermet"
    else
        echo hermet
    fi
}

# What every cluster of the tests is started with.
cluster_settings() {
    echo "listen_addresses = ''"
    echo 'max_prepared_transactions = 20'
    echo 'max_locks_per_transaction = 256'
    echo 'fsync = off'
    echo 'max_wal_size = 2GB'
    echo 'log_line_prefix = '\''%m [%p] %q%a '\'
    [[ -z $DESTDIR_KNOWN ]] || echo "extension_destdir = '$WORK/install'"
}

cluster_start() {
    local setting
    export PGHOST=$WORK/socket PGPORT=5432 PGUSER=postgres
    as_server mkdir -m 755 "$PGHOST"
    as_server "$BINDIR/initdb" --no-sync --auth=trust --username="$PGUSER" --encoding=UTF8 \
        --locale=C -D "$WORK/data" >"$WORK/initdb.log" 2>&1 || {
        cat "$WORK/initdb.log" >&2
        die 'initdb failed'
    }
    {
        cluster_settings
        echo "unix_socket_directories = '$PGHOST'"
        for setting; do echo "$setting"; done
    } | as_server tee -a "$WORK/data/postgresql.conf" >/dev/null
    as_server "$BINDIR/pg_ctl" start -w -s -D "$WORK/data" -l "$WORK/server.log" || {
        cat "$WORK/server.log" >&2
        die 'the server does not start'
    }
    PGDATABASE=postgres psql -Xqc 'SELECT 1' >/dev/null
}

# Stops the servers of this work folder (a TAP test that was cut short may have left one too) by the
# process ids that they wrote down themselves, and no other.
cluster_stop() {
    local file pid i
    while read -r file; do
        { read -r pid <"$file"; } 2>/dev/null || continue
        kill -INT "$pid" 2>/dev/null || continue
        for ((i = 0; i < 300; i++)); do
            kill -0 "$pid" 2>/dev/null || continue 2
            ((i != 100)) || kill -QUIT "$pid" 2>/dev/null || true
            sleep 0.1
        done
        echo "the server (process $pid) did not stop" >&2
    done < <(find "$WORK" -name postmaster.pid 2>/dev/null)
}

cluster_finish() {
    trap '' INT TERM HUP
    if [[ -n $WORK && -d $WORK ]]; then
        if [[ ${KEEP:-0} == 1 ]]; then
            cluster_how_to_connect
        else
            cluster_stop
            rm -rf "$WORK"
        fi
    fi
    WORK=
}

cluster_cleanup() {
    local status=$?
    trap - EXIT
    cluster_finish
    exit "$status"
}

cluster_how_to_connect() {
    local as=''
    ((EUID)) || as="runuser -u $SERVER_USER -- "
    echo
    echo "kept in $WORK"
    [[ -s $WORK/data/postmaster.pid ]] || return 0
    echo "  connect:  psql -h $PGHOST -U $PGUSER ${PGDATABASE:-postgres}"
    echo "  remove:   ${as}$BINDIR/pg_ctl stop -D $WORK/data && rm -rf $WORK"
}
