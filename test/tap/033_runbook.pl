# Runs docs/runbook.md as it is written: every block of SQL and shell, in order, each section on a database of its own in
# which the trouble that it speaks of was planted; compares with the output that it shows.
#
#   ```sql         as the owner of the instance, or as a superuser if its first line says so
#   ```sh          as the user of the server, in a folder of its own
#   ```text        what the block before it prints; "text like" where numbers differ each time
#   <!-- fixture: name -->   plants something, see %fixture below
#   <!-- only: plain -->     the next block is for plain instances; "sharded", for those of SHARDS
#
# With REWRITE=file the text with what was really printed goes there.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Basename;
use Hermet;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(allows_streaming => 1, has_archiving => 1, extra => [ '-E', 'UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "deadlock_timeout = '100ms'\n");
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE chat_owner LOGIN; CREATE ROLE chat_app LOGIN');

my $folder = PostgreSQL::Test::Utils::tempdir_short();
my $bindir = dirname((split /\n/, qx(which postgres))[0]);
my @clusters; # data folders of servers that a section starts
my @sessions; # and sessions that a fixture leaves open
my $stopped;  # the main one is not running

sub folder {
    my ($name) = @_;
    push @clusters, "$folder/$name";
    return "$folder/$name";
}
%ENV = (
    %ENV,
    PGHOST => $node->host,
    PGPORT => $node->port,
    PGUSER => scalar getpwuid($<),
    PGDATABASE => 'chat',
    PGDATA => $node->data_dir,
    LOG => $node->logfile,
    ARCHIVE => $node->archive_dir,
    BACKUP => "$folder/backup",
    RESTORED => folder('restored'),
    RESTORED_PORT => PostgreSQL::Test::Cluster::get_free_port(),
    STANDBY => folder('standby'),
    STANDBY_PORT => PostgreSQL::Test::Cluster::get_free_port(),
    NEW_STANDBY => "$folder/new_standby",
    OLD_DATA => "$folder/old",
    NEW_DATA => folder('new'),
    PRELOAD => "'$ENV{HERMET_LIBRARY}'",
    OLD_BIN => $bindir,
    NEW_BIN => $bindir);
$ENV{PATH} = "$bindir:$ENV{PATH}";

###################################################################################################
# What is planted.

my $people = <<'SQL';
SET search_path = im;
INSERT INTO biz_user (id, nickname) VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cai');
INSERT INTO friendship (id, user_id, friend_id, remark_name) VALUES (601, 1, 2, ''), (602, 2, 1, 'Annie'), (603, 3, 1, '');
INSERT INTO channel (id, channel_type) VALUES (10, 'single');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (101, 10, 1), (102, 10, 2);
INSERT INTO channel (id, channel_type, channel_name) VALUES (20, 'group', 'Picnic');
INSERT INTO channel_member (id, channel_id, user_id) VALUES (201, 20, 1), (202, 20, 2), (203, 20, 3);
INSERT INTO message (id, channel_id, sender_id, content)
VALUES (1001, 10, 1, 'Hello Bob'), (1002, 10, 2, 'Hello Ann'), (1003, 10, 1, 'Lunch?'), (1004, 20, 3, 'Who comes?'), (1005, 20, 1, 'I do');
INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (701, 2, 10, 1001);
SQL

sub as_owner { return $node->safe_psql('chat', "SET SESSION AUTHORIZATION chat_owner;\n$_[0]"); }
sub as_app { return $node->safe_psql('chat', "SET SESSION AUTHORIZATION chat_app;\n$_[0]"); }
sub as_superuser { return $node->safe_psql('chat', $_[0]); }
sub plant { return as_superuser("SET session_replication_role = replica;\n$_[0]"); }

sub new_chat {
    my ($version) = @_;
    $node->safe_psql('postgres', 'DROP DATABASE IF EXISTS chat WITH (FORCE)');
    $node->safe_psql('postgres', 'DROP DATABASE IF EXISTS chat_restored WITH (FORCE)');
    $node->safe_psql('postgres', 'CREATE DATABASE chat');
    as_superuser('GRANT CREATE ON DATABASE chat TO chat_owner; CREATE EXTENSION hermet' . ($version ? " VERSION '$version'" : ''));
    as_owner("SELECT hermet.create_tables('im'); $people;"
          . 'GRANT USAGE ON SCHEMA im TO chat_app; GRANT SELECT ON ALL TABLES IN SCHEMA im TO chat_app;'
          . 'GRANT INSERT, UPDATE, DELETE ON biz_user, channel, channel_member, channel_read_record, friendship, message, conversation_setting TO chat_app');
    as_owner("UPDATE im.hermet_instance SET version = '$version'") if $version;
    return;
}

sub app_session {
    my $session = $node->background_psql('chat', on_error_stop => 0, extra_params => [ '-U', 'chat_app' ]);
    push @sessions, $session;
    return $session;
}

# A statement that waits, in a session of its own.
sub waiting {
    my ($session, $sql) = @_;
    my $pid = $session->query_safe('SELECT pg_backend_pid()');
    $session->query_until(qr/begun/, "\\echo begun\n$sql;\n");
    return ok(wait_until_blocked($node, $pid), "waits: $sql");
}

sub somebody_waits {
    my $idle = app_session();
    $idle->query_safe(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (hermet.next_id(), 10, 1, 'wait for me')));
    return waiting(app_session(), q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (hermet.next_id(), 10, 2, 'I wait')));
}

sub end_sessions {
    for my $session (@sessions) {
        $session->{run}->kill_kill if $session->{run}->pumpable;
    }
    @sessions = ();
    return $node->poll_query_until('postgres', q(SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'chat_app'));
}

my %fixture = (
    healthy => sub { },
    sessions_ended => \&end_sessions,
    read_node => sub {
        as_owner(q(INSERT INTO im.hermet_node (nodes, node, subscription) VALUES (2, 1, 'chat_node1'); SELECT hermet.make_triggers('im', false); SELECT hermet.repair('im')));
    },
    wrong_count => sub { plant('UPDATE im.user_conversation_view SET unread_count = 7 WHERE user_id = 2 AND channel_id = 10') },
    stale_name => sub {
        plant(q(
            UPDATE im.user_conversation_view SET peer_nickname = 'Anna' WHERE user_id = 2 AND channel_id = 10;
            UPDATE im.user_contact_view SET contact_nickname = 'Anna' WHERE contact_id = 1;
            UPDATE im.user_conversation_view SET last_message_sender_name = 'Anna' WHERE user_id = 1 AND channel_id = 20));
    },
    missing_conversation => sub { plant('DELETE FROM im.user_conversation_view WHERE user_id = 3 AND channel_id = 20') },
    slow_send => sub {
        as_owner(q(
            CREATE INDEX inbox_by_time_idx ON im.user_conversation_view (user_id, last_message_time);
            CREATE FUNCTION im.notify_client() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
            CREATE TRIGGER notify_client AFTER UPDATE ON im.user_conversation_view FOR EACH ROW EXECUTE FUNCTION im.notify_client()));
        somebody_waits();
    },
    lock_waits => \&somebody_waits,
    deadlock => sub {
        my ($one, $other) = (app_session(), app_session());
        my $read = 'INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (hermet.next_id(), %d, 20, 1004)';
        my $send = 'INSERT INTO im.message (id, channel_id, sender_id) VALUES (hermet.next_id(), 20, %d)';
        $one->query_safe('BEGIN; ' . sprintf $read, 1);
        $other->query_safe('BEGIN; ' . sprintf $read, 3);
        waiting($one, sprintf $send, 1);
        $other->query(sprintf $send, 3);
        end_sessions(); # which has them report what they counted
        $node->poll_query_until('chat', 'SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()');
        as_superuser(q(ALTER ROLE chat_app SET default_transaction_isolation = 'serializable'));
    },
    lock_table_full => sub { },
    bloat => sub {
        app_session()->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM im.biz_user');
        as_app('INSERT INTO im.message (id, channel_id, sender_id) SELECT hermet.next_id(), 20, 1 FROM generate_series(1, 100)');
    },
    disk_growth => sub {
        as_superuser(q(SELECT pg_create_physical_replication_slot('abandoned', true)));
        as_app('INSERT INTO im.message (id, channel_id, sender_id, sent_at) VALUES (900, 20, 1, 1), (901, 20, 1, 2)');
    },
    drift => sub {
        plant(q(
            UPDATE im.user_conversation_view SET unread_count = 7, conversation_name = 'Anni' WHERE user_id = 2 AND channel_id = 10;
            UPDATE im.user_conversation_view SET unread_count = 9 WHERE user_id = 3 AND channel_id = 20;
            DELETE FROM im.conversation_reverse_index WHERE owner_user_id = 1;
            UPDATE im.channel SET channel_member_count = 5 WHERE id = 20));
    },
    check_not_running => sub { as_owner(q(SELECT * FROM hermet.check_consistency('im'))) },
    incident => sub {
        plant('DELETE FROM im.user_conversation_view WHERE user_id = 2 AND channel_id = 20');
        as_app(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (1006, 20, 3, 'When?')));
    },
    triggers_disabled => sub {
        as_owner('ALTER TABLE im.message DISABLE TRIGGER hermet_after_insert');
        as_app(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (hermet.next_id(), 20, 1, 'unseen')));
    },
    replica_role => sub {
        as_superuser('ALTER ROLE chat_app SET session_replication_role = replica');
        my $session = app_session();
        $session->query_safe(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (hermet.next_id(), 20, 1, 'unseen')));
        end_sessions();
    },
    direct_writes => sub { as_owner('GRANT INSERT, UPDATE ON im.user_conversation_view TO chat_app') },
    missing_table => sub { as_owner('DROP TABLE im.user_contact_view') },
    prepared_transaction => sub {
        app_session()->query_safe(q(
            BEGIN; INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (1007, 10, 1, 'prepared'); PREPARE TRANSACTION 'order 4711'));
    },
    read_side_lost => sub { plant('TRUNCATE im.user_conversation_view, im.user_contact_view, im.conversation_reverse_index, im.contact_reverse_index') },
    rebuild_interrupted => sub {
        plant('UPDATE im.user_conversation_view SET unread_count = 9');
        my $session = $node->background_psql('chat', on_error_stop => 0, extra_params => [ '-U', 'chat_owner' ]);
        $session->query_until(qr/begun/, "\\echo begun\nCALL hermet.rebuild_conversation_view('im', batch_size => 1, pause_ms => 600000);\n");
        my $running = q(SELECT pid FROM hermet.progress WHERE state = 'running' AND done > 0);
        ok($node->poll_query_until('chat', "SELECT EXISTS ($running)"), 'a rebuild runs');
        as_superuser("SELECT pg_cancel_backend(($running))");
        $session->query('SELECT 1');
        like($session->{stderr}, qr/canceling statement/, 'and is cancelled');
        $session->quit;
    },
    bulk_load => sub {
        my $session = $node->background_psql('chat', extra_params => [ '-U', 'chat_owner' ]);
        $session->query_safe(q(SELECT hermet.begin_bulk_load('im')));
        $session->query_safe('INSERT INTO im.message (id, channel_id, sender_id, content) SELECT 2000 + i, 20, 3, i FROM generate_series(1, 50) i');
        $session->quit;
    },
    event_queue => sub {
        as_owner(q(SELECT hermet.enable_events('im')));
        as_app('INSERT INTO im.message (id, channel_id, sender_id) VALUES (1011, 20, 1), (1012, 20, 1), (1013, 20, 1)');
        plant(q(UPDATE im.change_event SET transaction_time = transaction_time - 30 * 86400000::bigint WHERE event_offset < 3));
        my $open = app_session();
        $open->query_safe('BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (1014, 20, 1)');
        as_app('INSERT INTO im.message (id, channel_id, sender_id) VALUES (1015, 10, 1)');
    },
    shadow_mismatch => sub {
        as_owner(q(SELECT hermet.set_rollout(10, true, 'im')));
        plant('UPDATE im.user_conversation_view SET unread_count = 7 WHERE user_id = 2 AND channel_id = 10');
        as_app('SELECT count(*) FROM hermet.conversation_list(2)');
    },
    events_kept => sub {
        as_owner(q(SELECT hermet.enable_events('im')));
        as_app('INSERT INTO im.message (id, channel_id, sender_id) VALUES (1021, 20, 1)');
        as_superuser('CREATE TABLE public.old AS SELECT * FROM im.user_conversation_view');
        $ENV{OFFSET} = as_owner(q(SELECT hermet.event_horizon('im')));
    },
    read_side_old => sub {
        as_app(q(
            INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (1022, 20, 2, 'later');
            UPDATE im.biz_user SET nickname = 'Annette' WHERE id = 1;
            UPDATE im.friendship SET remark_name = 'Bobby' WHERE user_id = 1 AND friend_id = 2));
        plant('TRUNCATE im.user_conversation_view; INSERT INTO im.user_conversation_view SELECT * FROM public.old');
    },
    dump => sub { },
    rows_lost => sub { as_app('DELETE FROM im.message WHERE channel_id = 10') },
    table_lost => sub { as_app(q(DELETE FROM im.friendship WHERE user_id = 1; UPDATE im.friendship SET remark_name = 'oops')) },
    archive => sub { },
    accident => sub {
        as_app(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (1008, 10, 2, 'before it happened')));
        $ENV{BEFORE} = as_superuser('SELECT clock_timestamp()');
        as_app('DELETE FROM im.message');
        my $file = as_superuser('SELECT pg_walfile_name(pg_switch_wal())');
        $node->poll_query_until('postgres', "SELECT last_archived_wal >= '$file' FROM pg_stat_archiver") or die 'nothing is archived';
    },
    standby => sub {
        system_or_bail('pg_basebackup', '-c', 'fast', '-R', '-D', $ENV{STANDBY});
        append_to_file("$ENV{STANDBY}/postgresql.conf", "port = $ENV{STANDBY_PORT}\nmax_prepared_transactions = 20\n");
        system_or_bail('pg_ctl', '-w', '-s', '-D', $ENV{STANDBY}, '-l', "$ENV{STANDBY}/log", 'start');
        $node->poll_query_until('postgres', q(SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'));
    },
    primary_dies => sub {
        as_app(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (1009, 10, 2, 'just before')));
        app_session()->query_safe(q(
            BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (1010, 20, 1); PREPARE TRANSACTION 'order 4712'));
        end_sessions();
        $node->poll_query_until('postgres', 'SELECT replay_lsn >= pg_current_wal_insert_lsn() FROM pg_stat_replication');
        $node->stop('immediate');
        $stopped = 1;
    },
    old_cluster => sub {
        $node->stop;
        $stopped = 1;
        system_or_bail('cp', '-R', $node->data_dir, $ENV{OLD_DATA});
        append_to_file("$ENV{OLD_DATA}/postgresql.conf", "archive_mode = off\n");
    },
    old_version => sub { new_chat('0.1.0') },
);

###################################################################################################
# The blocks.

# Runs a block, and returns what it printed and whether it failed.
sub run_block {
    my ($language, $text) = @_;
    my ($out, @command);
    if ($language eq 'sh') {
        @command = ('bash', '-euo', 'pipefail', '-c', "cd '$folder'; { $text\n} 2>&1");
        $text = '';
    } else {
        my $user = $text =~ /\A-- as a superuser\n/ ? $ENV{PGUSER} : 'chat_owner';
        @command = ('bash', '-c', "psql -X -v ON_ERROR_STOP=1 -U $user 2>&1");
    }
    my $ok = IPC::Run::run(\@command, '<', \$text, '>', \$out, IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
    return ($out, $ok);
}

sub plain {
    my ($text, $like) = @_;
    $text =~ s/[ \t]+$//mg;
    $text =~ s/\n+\z/\n/;
    return $text unless $like;
    $text =~ s/\d+([:.]\d+)*/9/g;
    $text =~ s/\b(bytes|kB|MB)\b/bytes/g;
    $text =~ s/ +/ /g;
    $text =~ s/-+/-/g;
    return $text;
}

sub clean_up {
    end_sessions() unless $stopped;
    for my $data (@clusters) {
        system('pg_ctl', '-w', '-s', '-D', $data, '-m', 'fast', 'stop') if -e "$data/postmaster.pid";
    }
    $node->start if $stopped;
    $stopped = 0;
    $node->safe_psql('postgres', 'ALTER ROLE chat_app RESET ALL');
    if (slurp_file($node->data_dir . '/postgresql.auto.conf') =~ /=/) {
        $node->safe_psql('postgres', 'ALTER SYSTEM RESET ALL');
        $node->restart;
    }
    for my $gid (split /\n/, $node->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts')) {
        $node->safe_psql('chat', "ROLLBACK PREPARED '$gid'");
    }
    return;
}

my ($section, @blocks, $block, %used) = ('before the first section');
my @lines = split /\n/, slurp_file("$ENV{HERMET_DOCS}/runbook.md");
my @rewritten;
my ($printed, $ok, $shown); # of the block that waits for its text

my $kind = $ENV{SHARDS} ? 'sharded' : 'plain';
my $skipped; # the next block is not for this kind of instance

sub finish_block {
    return unless defined $printed;
    ok($shown && $shown =~ /ERROR: / ? !$ok : $ok, "$section: " . (split /\n/, $block)[0]) or diag("$block\nprinted:\n$printed");
    undef $printed;
    return;
}

while (defined(my $line = shift @lines)) {
    if ($line =~ /^## (.*)/) {
        finish_block();
        clean_up();
        $section = $1;
        note "== $section";
        new_chat();
    } elsif ($line =~ /^<!-- fixture: (\w+) -->$/) {
        finish_block();
        ok($fixture{$1}, "$section: there is a fixture $1") or next;
        $used{$1} = 1;
        $fixture{$1}->();
    } elsif ($line =~ /^<!-- only: (.*) -->$/) {
        finish_block();
        ok($1 eq 'plain' || $1 eq 'sharded', "$section: there are $1 instances");
        $skipped = $1 ne $kind;
    } elsif ($line =~ /^```(sql|sh|text|text like)$/) {
        my $language = $1;
        my @text;
        push @text, $_ while defined($_ = shift @lines) && $_ ne '```';
        my $text = join '', map { "$_\n" } @text;
        if ($skipped) {
            undef $skipped;
        } elsif ($language !~ /^text/) {
            finish_block();
            $block = $text;
            undef $shown;
            ($printed, $ok) = run_block($language, $text);
        } elsif (defined $printed) {
            my $like = $language eq 'text like';
            $shown = $text;
            is(plain($printed, $like), plain($text, $like), "$section: what it prints: " . (grep { !/^--/ } split /\n/, $block)[0]);
            my $same = plain($printed, $like) eq plain($text, $like);
            $shown = $printed; # whether it was to fail is said already
            @text = split /\n/, plain($printed) unless $same;
            finish_block();
        } else {
            fail("$section: a text that no block prints");
        }
        push @rewritten, "```$language", @text, '```';
        next;
    } elsif ($line =~ /^```/) {
        fail("$section: a block that this test does not know: $line");
    }
    push @rewritten, $line;
}
finish_block();
clean_up();
is(join(' ', grep { !$used{$_} } sort keys %fixture), '', 'every fixture is used');
append_to_file($ENV{REWRITE}, join '', map { "$_\n" } @rewritten) if $ENV{REWRITE};

# The links within the page, and those of the alerts and of other pages, lead somewhere.
my $page = slurp_file("$ENV{HERMET_DOCS}/runbook.md");
my %anchors = map { my $anchor = lc; $anchor =~ s/[^\w\- ]//g; $anchor =~ s/ /-/g; $anchor => 1 } $page =~ /^##+ (.*)$/mg;
$anchors{$_} = 1 for $page =~ /<a id="([^"]+)">/g;
my @links = $page =~ /\]\(#([^)]+)\)/g;
for my $other (glob("$ENV{HERMET_DOCS}/*.md $ENV{HERMET_DOCS}/prometheus/*.yml")) {
    push @links, slurp_file($other) =~ /runbook\.md#([\w-]+)/g;
}
cmp_ok(scalar @links, '>', 60, scalar @links . ' links');
is(join(' ', grep { !$anchors{$_} } @links), '', 'every link to the page leads somewhere');
no_crash($node);
$node->stop;
done_testing();
