# What the TAP tests share: a server, an instance with people who talk, and the question whether the
# read side is right.
package Hermet;

use strict;
use warnings;
use Exporter 'import';
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_server new_database new_instance fill is_clean sql_fails contents tables partitions
  no_crash health sqlstates background begin_query wait_until_blocked wait_for_restart start_load load_goes_on stop_load retried rows);

# Settings come from TEMP_CONFIG, which Cluster.pm adds to each server's configuration.
sub new_server {
    my ($name, $settings, %init) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(%init);
    $node->append_conf('postgresql.conf', $settings) if $settings;
    $node->start;
    return $node;
}

# sql/setup.sql makes the extension and the schema "testing" with the rules written a second time.
sub new_database {
    my ($node, $name) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql($name, slurp_file($ENV{HERMET_SETUP}));
    return;
}

sub quoted {
    my ($name) = @_;
    $name =~ s/"/""/g;
    return qq("$name");
}

sub literal {
    my ($text) = @_;
    $text =~ s/'/''/g;
    return "'$text'";
}

sub new_instance {
    my ($node, $database, $schema) = @_;
    $node->safe_psql($database, 'SELECT hermet.create_tables(' . literal($schema) . ')');
    return;
}

# 20 people, 30 groups, 20 single chats, and something of every kind of row.
sub fill {
    my ($node, $database, $schema) = @_;
    $node->safe_psql($database, 'SET search_path = ' . quoted($schema) . <<'SQL');
;
INSERT INTO biz_user (id, email, mobile, nickname, avatar)
SELECT u, 'u' || u || '@example.org', '+' || u, 'user ' || u, u || '.png' FROM generate_series(1, 20) u;

INSERT INTO channel (id, channel_name, channel_type, channel_status)
SELECT c, 'group ' || c, 'group', CASE WHEN c = 30 THEN 'archived' ELSE 'active' END::channel_status_enum
  FROM generate_series(1, 30) c;
INSERT INTO channel (id, channel_type) SELECT 100 + u, 'single' FROM generate_series(1, 20) u;

INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at)
SELECT c * 1000 + u, c, u, 1000, CASE WHEN (u + c) % 11 = 0 THEN 5000 ELSE 0 END
  FROM generate_series(1, 30) c, generate_series(1, 20) u WHERE (u * c) % 3 <> 0;
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
SELECT 900000 + u * 2 + side, 100 + u, CASE side WHEN 0 THEN u ELSE u % 20 + 1 END, 1000
  FROM generate_series(1, 20) u, generate_series(0, 1) side;

INSERT INTO friendship (id, user_id, friend_id, remark_name, tags, is_starred)
SELECT u * 2 + side, CASE side WHEN 0 THEN u ELSE u % 20 + 1 END, CASE side WHEN 1 THEN u ELSE u % 20 + 1 END,
       CASE WHEN u % 4 = 0 THEN 'my friend ' || u ELSE '' END, ARRAY['a, b', 'c"d'], u % 5 = 0
  FROM generate_series(1, 20) u, generate_series(0, 1) side;

INSERT INTO message (id, channel_id, sender_id, message_type, content, mention_user_ids, mention_all, sent_at)
SELECT m, m % 30 + 1, m % 20 + 1, CASE WHEN m % 17 = 0 THEN 'system' ELSE 'text' END, repeat('word ', m % 200),
       CASE WHEN m % 7 = 0 THEN ARRAY[m % 19 + 1, NULL] ELSE '{}' END, m % 50 = 0, 2000 + m
  FROM generate_series(1, 900) m;
INSERT INTO message (id, channel_id, sender_id, content, sent_at)
SELECT 10000 + m, 100 + m % 20 + 1, m % 20 + 1, 'between us: ' || m, 3000 + m FROM generate_series(1, 200) m;
UPDATE message SET deleted_at = 9000 WHERE id % 13 = 0;

INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)
SELECT row_number() OVER (), user_id, channel_id, 300 + user_id * 10 FROM channel_member WHERE id % 2 = 0;
INSERT INTO conversation_setting (user_id, channel_id, is_muted, is_pinned, is_hidden, closed_at, marked_unread)
SELECT user_id, channel_id, id % 2 = 0, id % 3 = 0, id % 4 = 0, CASE WHEN id % 5 = 0 THEN 9000 ELSE 0 END, id % 6 = 0
  FROM channel_member WHERE id % 7 < 3;
UPDATE biz_user SET user_status = 'disabled' WHERE id = 7;
UPDATE biz_user SET user_status = 'deleted', deleted_at = 9000 WHERE id = 13;
UPDATE friendship SET deleted_at = 9000 WHERE user_id = 9;
INSERT INTO channel_application (id, applicant_id, application_type, target_id) VALUES (1, 1, 'channel', 5);
SQL
    return;
}

# Nothing is missing, surplus or stale, by the extension's own check and by the second set of rules.
sub is_clean {
    my ($node, $database, $schema, $what) = @_;
    my $found = $node->safe_psql($database,
        'SELECT left(c, 300) FROM testing.clean(' . literal($schema) . ') c LIMIT 10');
    return is($found, '', "$what: the read side of $schema is right");
}

sub sql_fails {
    my ($node, $database, $sql, $sqlstate, $what) = @_;
    my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
    isnt($status, 0, "$what: fails");
    return like($err, qr/ERROR:  $sqlstate:/, "$what: SQLSTATE $sqlstate");
}

# The names of a table's partitions, none of a plain one.
sub partitions {
    my ($node, $database, $schema, $table) = @_;
    return split /\n/, $node->safe_psql($database,
        'SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = '
          . literal(quoted($schema) . '.' . quoted($table)) . '::regclass ORDER BY 1');
}

sub tables {
    my ($node, $database, $schema) = @_;
    return split /\n/, $node->safe_psql($database,
        'SELECT relname FROM pg_class WHERE relkind = \'r\' AND relnamespace = '
          . literal(quoted($schema)) . '::regnamespace ORDER BY 1');
}

# Every row of every table of a schema as text, in one order; without hermet's notes on checks and the like
# where these are not asked about.
sub contents {
    my ($node, $database, $schema, $without_notes) = @_;
    my @tables = grep { !$without_notes || !/^hermet_/ } tables($node, $database, $schema);
    return $node->safe_psql($database, join ";\n", map {
        'SELECT ' . literal($_),
          'SELECT t FROM ' . quoted($schema) . '.' . quoted($_) . ' t ORDER BY t::text COLLATE "C"'
    } @tables);
}

sub rows { return contents(@_, 1); }

# A backend that died took its neighbours along; an internal error is a bug of somebody's.
sub no_crash {
    my ($node) = @_;
    my @traces = grep { /terminated by signal|TRAP:|PANIC:|was aborted|unexpected state of a row/ }
      split /\n/, slurp_file($node->logfile);
    return is(join("\n", @traces), '', 'no server process crashed');
}

# What hermet.health() has to say, a line each, without the parts that hold a time.
sub health {
    my ($node, $database, $schema) = @_;
    return $node->safe_psql($database,
        'SELECT problem, object FROM hermet.health(' . literal($schema) . ') ORDER BY 1, 2');
}

# The SQLSTATEs of what psql reports, in order.
sub sqlstates {
    my ($node, $database, $sql) = @_;
    my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY sqlstate\n$sql", on_error_stop => 0);
    return wantarray ? ([ $err =~ /ERROR:  (\w{5})/g ], $out) : join ' ', $err =~ /ERROR:  (\w{5})/g;
}

# A session that stays open and outlives its errors.
sub background {
    my ($node, $database) = @_;
    my $session = $node->background_psql($database, on_error_stop => 0);
    $session->set_query_timer_restart;
    $session->query('\set VERBOSITY sqlstate');
    return bless $session, 'Hermet::Session';
}

# Sends a statement that may have to wait, and does not wait for it.
sub begin_query {
    my ($session, $sql) = @_;
    $session->{timeout}->start;
    $session->{stdin} .= "$sql;\n";
    $session->{run}->pump_nb;
    return;
}

# The process waits for a lock of any kind, or for one of the process named: it may meet an autovacuum on its way.
# If it never does, that is the caller's failed test.
sub wait_until_blocked {
    my ($node, $pid, $by) = @_;
    return $node->poll_query_until('postgres', defined $by
        ? "SELECT $by = ANY (pg_blocking_pids($pid))"
        : "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $pid");
}

# Waits until a crash that was begun at that time is over: sessions that connect earlier may still be thrown out.
sub wait_for_restart {
    my ($node, $since) = @_;
    return $node->poll_query_until('postgres',
        "SELECT backend_start > '$since' FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
}

# DDL on several tables may deadlock with what runs: then one of them gets PostgreSQL's own error, and this does
# it again.
sub retried {
    my ($node, $database, $sql) = @_;
    for (1 .. 200) {
        my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql",
            on_error_stop => 1);
        return $out if $status == 0;
        die "failed: $sql\n$err" unless $err =~ /ERROR:  (40P01|40001):/;
        note "again: $sql";
    }
    die "deadlocks again and again: $sql";
}

# Sessions that write single rows of every kind until they are told to stop, whatever errors they get:
# to channels 1 to 15 and 101 to 108, as users 1 to 9, of a schema that fill() has filled.
sub start_load {
    my ($node, $database, $schema, $sessions, $seed) = @_;
    my $s = quoted($schema);
    my @writes = (
        (
            sub {
                my ($c, $u) = (1 + int rand 15, 1 + int rand 9);
                "INSERT INTO $s.message (id, channel_id, sender_id, content, mention_user_ids)"
                  . " VALUES (nextval('testing.load_id'), $c, $u, 'under load', ARRAY[$u, 3])";
            }) x 6,
        sub {
            my ($c) = (101 + int rand 8);
            "INSERT INTO $s.message (id, channel_id, sender_id, content)"
              . " VALUES (nextval('testing.load_id'), $c, $c - 100, 'between us')";
        },
        sub {
            my ($c) = (1 + int rand 15);
            "UPDATE $s.message SET deleted_at = 9000 WHERE channel_id = $c AND id ="
              . " (SELECT max(id) FROM $s.message WHERE channel_id = $c AND deleted_at = 0)";
        },
        sub {
            my ($c) = (1 + int rand 15);
            "DELETE FROM $s.message WHERE channel_id = $c AND id ="
              . " (SELECT min(id) FROM $s.message WHERE channel_id = $c)";
        },
        sub {
            my ($u) = (1 + int rand 9);
            "UPDATE $s.biz_user SET nickname = 'user ' || left(md5(random()::text), 5) WHERE id = $u";
        },
        sub {
            my ($c, $u, $left) = (1 + int rand 15, 1 + int rand 9, 5000 * int rand 2);
            "INSERT INTO $s.channel_member (id, channel_id, user_id) VALUES (nextval('testing.load_id'), $c, $u)"
              . " ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = $left";
        },
        sub {
            my ($u, $f) = (1 + int rand 9, 1 + int rand 9);
            "INSERT INTO $s.friendship AS f (id, user_id, friend_id) VALUES (nextval('testing.load_id'), $u, $f)"
              . " ON CONFLICT (user_id, friend_id) DO UPDATE"
              . " SET remark_name = left(md5(random()::text), 5), deleted_at = 9000 - f.deleted_at";
        },
        sub {
            my ($c, $u) = (1 + int rand 15, 1 + int rand 9);
            "INSERT INTO $s.conversation_setting AS s (user_id, channel_id, is_pinned) VALUES ($u, $c, true)"
              . ' ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = NOT s.is_pinned';
        },
        (
            sub {
                my ($c, $u) = (1 + int rand 15, 1 + int rand 9);
                "INSERT INTO $s.channel_read_record (id, user_id, channel_id, last_read_message_id)"
                  . " SELECT nextval('testing.load_id'), $u, $c, max(id) FROM $s.message WHERE channel_id = $c"
                  . ' HAVING count(*) > 0 ON CONFLICT (user_id, channel_id)'
                  . ' DO UPDATE SET last_read_message_id = excluded.last_read_message_id';
            }) x 2,
        sub {
            my ($c) = (1 + int rand 15);
            "UPDATE $s.channel SET channel_name = 'group ' || left(md5(random()::text), 5) WHERE id = $c";
        },
    );
    srand $seed;
    $node->safe_psql($database, q(
        DROP TABLE IF EXISTS testing.load_stop;
        CREATE TABLE testing.load_stop (asked boolean);
        CREATE SEQUENCE IF NOT EXISTS testing.load_id START 1000000000;
        CREATE SEQUENCE IF NOT EXISTS testing.load_steps;));
    my $load = { node => $node, database => $database, sessions => [] };
    for my $number (1 .. $sessions) {
        my $file = $node->basedir . "/load$number.sql";
        open my $script, '>', $file or die "$file: $!";
        print $script "\\set VERBOSITY sqlstate\nSET log_statement = none;\nSET log_min_messages = fatal;\n";
        for my $step (1 .. 500) {
            print $script $writes[ rand @writes ]->(), ";\n" for 1 .. 4;
            print $script "SELECT nextval('testing.load_steps'), EXISTS (SELECT FROM testing.load_stop) AS stop \\gset\n",
              "\\if :stop\n\\q\n\\endif\n";
        }
        print $script "\\i $file\n";
        close $script or die "$file: $!";
        my $session = { err => '', out => '' };
        $session->{run} = IPC::Run::start(
            [ 'psql', '-XAtq', '-d', $node->connstr($database), '-f', $file ],
            '<', \undef, '>', \$session->{out}, '2>', \$session->{err});
        push @{ $load->{sessions} }, $session;
    }
    load_goes_on($load);
    return $load;
}

# Waits until the sessions have gone through some dozens of statements more, whether they failed or not.
sub load_goes_on {
    my ($load) = @_;
    my ($node, $database) = @$load{qw(node database)};
    my $goal = 10 + $node->safe_psql($database, 'SELECT last_value FROM testing.load_steps');
    # What the sessions say must be read, or they wait for their reader.
    $_->{run}->pump_nb for @{ $load->{sessions} };
    return $node->poll_query_until($database, "SELECT last_value >= $goal FROM testing.load_steps");
}

# Ends the load; which SQLSTATEs its statements failed with, and how often. A session that was lost counts
# as 08006.
sub stop_load {
    my ($load) = @_;
    $load->{node}->safe_psql($load->{database}, 'INSERT INTO testing.load_stop VALUES (true)');
    my %failed;
    for my $session (@{ $load->{sessions} }) {
        $session->{run}->finish;
        $failed{$_}++ for $session->{err} =~ /(?:ERROR|FATAL):  (\w{5})/g;
        $failed{'08006'}++ if $session->{run}->result(0) == 2;
    }
    note 'errors under load: ', join ', ', map { "$_ $failed{$_} times" } sort keys %failed;
    return \%failed;
}

# The clock that limits each query runs on after it, and would end the test when a session is closed that had nothing to
# do for so long.
package Hermet::Session;

use parent -norequire, 'PostgreSQL::Test::BackgroundPsql';

sub quit {
    my ($self) = @_;
    $self->{timeout}->start;
    return $self->SUPER::quit;
}

1;
