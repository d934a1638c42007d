# Instances that are spread over partitions, and spread otherwise, while applications write: nothing that was committed
# is lost, whatever stops it in its middle; dumps, parallel rebuilds, a partition that is away for a while.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || time;
note "SEED=$seed";
srand $seed;
# Nobody is to need the server's help out of a deadlock.
my $node = new_server('main', "deadlock_timeout = '20s'\n");
new_database($node, 'chat');
$node->safe_psql('chat', q(SELECT hermet.create_tables('im', 0, 0); SELECT hermet.enable_events('im')));
fill($node, 'chat', 'im');

# Whoever makes im.message anew stops there, while somebody else has the advisory lock.
$node->safe_psql('chat', <<'SQL');
CREATE FUNCTION public.pause() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() WHERE object_identity = 'im.message') THEN
        PERFORM pg_advisory_xact_lock_shared(7);
    END IF;
END
$$;
CREATE EVENT TRIGGER pause ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION public.pause();
CREATE SEQUENCE testing.ids START 1000000000;
CREATE SEQUENCE testing.steps0;
CREATE SEQUENCE testing.steps1;
CREATE SEQUENCE testing.steps2;
CREATE SEQUENCE testing.steps3;
CREATE TABLE testing.stop (asked boolean);
SQL

my $tables = $node->safe_psql('chat', 'SELECT count(*) FROM hermet.catalog_shards()');
my $kept = 0;

sub query { return $node->safe_psql('chat', $_[0]); }

# Sessions that write single rows, each to the channels of its list, until they are told to stop. What they print are
# the ids of the messages that they know to be committed.
sub start_writers {
    my @lists = @_;
    query('TRUNCATE testing.stop');
    my @writers;
    for my $list (@lists) {
        my $name = $node->basedir . '/writer' . @writers;
        open my $script, '>', "$name.sql" or die "$name.sql: $!";
        print $script "\\set VERBOSITY sqlstate\nSET log_min_messages = fatal;\n";
        for (1 .. 300) {
            my ($c, $u, $left) = ($list->[ rand @$list ], 1 + int rand 20, 5000 * int rand 2);
            my @others = (
                qq(INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id)
                   SELECT nextval('testing.ids'), $u, $c, max(id) FROM im.message WHERE channel_id = $c HAVING count(*) > 0
                   ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id),
                qq(INSERT INTO im.conversation_setting AS s (user_id, channel_id, is_pinned) VALUES ($u, $c, true)
                   ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = NOT s.is_pinned),
                $c > 100
                ? qq(UPDATE im.friendship SET is_starred = NOT is_starred WHERE user_id = $u AND friend_id = $u % 20 + 1)
                : qq(INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (nextval('testing.ids'), $c, $u)
                   ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = $left));
            print $script "INSERT INTO im.message (id, channel_id, sender_id, content, mention_user_ids)"
              . " VALUES (nextval('testing.ids'), $c, $u, 'kept', ARRAY[$u, 3]) RETURNING id;\n", $others[ rand @others ], ";\n",
              "SELECT nextval('testing.steps" . @writers . "'), EXISTS (SELECT FROM testing.stop) AS stop \\gset\n\\if :stop\n\\q\n\\endif\n";
        }
        print $script "\\i $name.sql\n";
        close $script or die "$name.sql: $!";
        my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('chat') . " application_name='writer'", '-f', "$name.sql" ],
            '<', \undef, '>', "$name.out", '2>', "$name.err");
        push @writers, { run => $run, name => $name };
    }
    writers_go_on(scalar @writers);
    return @writers;
}

# Waits until each of so many writers has come some steps further, whatever errors it gets.
sub writers_go_on {
    my ($count) = @_;
    my @sequences = map { "testing.steps$_" } 0 .. $count - 1;
    my $goals = join ' AND ', map { 'last_value >= ' . (10 + query("SELECT last_value FROM $_")) . " FROM $_" } @sequences;
    $goals =~ s/(last_value >= \d+ FROM \S+)/(SELECT $1)/g;
    return $node->poll_query_until('chat', "SELECT $goals");
}

# What each of them got for an error; and whether what they know of is all there, once, as a row and as an event.
sub stop_writers {
    my ($what, @writers) = @_;
    query('INSERT INTO testing.stop VALUES (true)');
    my (@errors, @ids);
    for my $writer (@writers) {
        $writer->{run}->finish;
        my %seen = map { $_ => 1 } slurp_file("$writer->{name}.err") =~ /(?:ERROR|FATAL|psql):\s+(.*)/g;
        push @errors, join ' ', sort keys %seen;
        push @ids, slurp_file("$writer->{name}.out") =~ /(\d+)/g;
    }
    cmp_ok(scalar @ids, '>', 20, "$what: messages were sent");
    $kept += @ids;
    is(query(q(SELECT count(*) FROM im.message WHERE content = 'kept')), $kept, "$what: every message that was committed is there");
    is(query("SELECT count(*) FROM im.message WHERE id IN (" . join(',', @ids) . ')'), scalar @ids, "$what: it is the same ones");
    is(query(q(SELECT count(DISTINCT key) FROM im.change_event WHERE table_name = 'message' AND new_values ->> 'content' = 'kept')),
        $kept, "$what: each of them has left an event");
    return @errors;
}

# Rows are in the partitions that their keys say, or in the table itself.
sub is_spread {
    my ($channel, $user, $what) = @_;
    is(query(q(SELECT channel_shards, user_shards FROM hermet.shard_counts('im'))), "$channel|$user", "$what: so many partitions");
    my %key = (message => [ 'channel_id', $channel ], channel => [ 'id', $channel ], friendship => [ 'user_id', $user ],
        user_conversation_view => [ 'user_id', $user ], contact_reverse_index => [ 'contact_user_id', $user ]);
    my @astray = map {
        my ($column, $count) = @{ $key{$_} };
        query("SELECT count(*) FROM im.$_ WHERE tableoid <> ('im.$_'" . ($count ? " || '_' || $column % $count" : '') . ')::regclass')
    } sort keys %key;
    return is("@astray", '0 0 0 0 0', "$what: every row is in its place");
}

# Whether the tables are the same ones, and not only alike.
sub relations {
    return query(q(SELECT oid, relname, relkind, relispartition FROM pg_class WHERE relnamespace = 'im'::regnamespace ORDER BY 1));
}

my @all = (1 .. 29, 101 .. 120);
my @even = grep { $_ % 2 == 0 } @all;
my @odd = grep { $_ % 2 } @all;

### Spread over partitions, over others, and back, while four sessions write.

my ($gate, $session, $holder) = map { background($node, 'chat') } 1 .. 3;
my ($gate_pid, $session_pid, $holder_pid) = map { scalar $_->query('SELECT pg_backend_pid()') } $gate, $session, $holder;
# Plans that this session has made before must not lead to tables that are gone.
my $prepared = background($node, 'chat');
$prepared->query_safe(q(PREPARE send AS INSERT INTO im.message (id, channel_id, sender_id) VALUES (nextval('testing.ids'), $1, 1)));
sub send_prepared { return $prepared->query_safe(join ';', map { "EXECUTE send($_)" } 1 .. 8); }
send_prepared();
is(health($node, 'chat', 'im'), '', 'healthy before');

my @writers = start_writers((\@all) x 4);
for my $counts ([ 2, 4 ], [ 4, 2 ], [ 0, 0 ], [ 2, 4 ]) {
    my ($channel, $user) = @$counts;
    my $what = "from " . join('/', split /\|/, query(q(SELECT * FROM hermet.shard_counts('im')))) . " to $channel/$user";
    $gate->query('SELECT pg_advisory_lock(7)');
    begin_query($session, "SELECT count(*) FROM hermet.reshard('im', $channel, $user)");
    ok(wait_until_blocked($node, $session_pid, $gate_pid), "$what: stopped in the middle") or die "the rest would wait for nothing\n";
    ok($node->poll_query_until('postgres',
            "SELECT count(*) = 4 FROM pg_stat_activity WHERE application_name = 'writer' AND $session_pid = ANY (pg_blocking_pids(pid))"),
        "$what: all writers wait");
    is(sqlstates($node, 'chat', q(SET lock_timeout = '100ms'; SELECT count(*) FROM im.user_contact_view)), '55P03',
        "$what: so do readers, of tables still to come");
    $gate->query('SELECT pg_advisory_unlock(7)');
    is($session->query('SELECT 1'), "$tables\n1", "$what: all tables were made anew");
    is($session->{stderr}, '', "$what: and it succeeds");
    ok(writers_go_on(scalar @writers), "$what: the writers go on");
    send_prepared();
    is_spread($channel, $user, $what);
    is(query(q(SELECT left(c::text, 300) FROM hermet.check_consistency('im') c LIMIT 5)), '', "$what: check finds nothing");
}
is(join(',', stop_writers('resharded', @writers)), ',,,', 'resharded: no writer got an error');
is_clean($node, 'chat', 'im', 'resharded');
is(health($node, 'chat', 'im'), '', 'resharded: healthy');
query(q(SELECT hermet.reshard('im', 0, 0)));
is_spread(0, 0, 'plain again');
is_clean($node, 'chat', 'im', 'plain again');
$prepared->quit;

### The server stops at once in the middle: nothing has happened.

for my $counts ([ 2, 4 ], [ 4, 0 ]) {
    my ($channel, $user) = @$counts;
    my $what = "crash on the way to $channel/$user";
    my ($rows, $relations) = (rows($node, 'chat', 'im'), relations());
    $gate->query('SELECT pg_advisory_lock(7)');
    my ($out, $err) = ('', '');
    my $run = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('chat') . " application_name='crashed'",
            '-c', "SELECT hermet.reshard('im', $channel, $user)" ], '<', \undef, '>', \$out, '2>', \$err);
    ok($node->poll_query_until('postgres',
            "SELECT $gate_pid = ANY (pg_blocking_pids(pid)) FROM pg_stat_activity WHERE application_name = 'crashed'"),
        "$what: stopped in the middle");
    $node->stop('immediate');
    $run->finish;
    isnt($run->result(0), 0, "$what: it fails");
    $_->quit for $gate, $session, $holder;
    $node->start;
    ($gate, $session, $holder) = map { background($node, 'chat') } 1 .. 3;
    ($gate_pid, $session_pid, $holder_pid) = map { scalar $_->query('SELECT pg_backend_pid()') } $gate, $session, $holder;
    is(relations(), $relations, "$what: the tables are those before");
    ok(rows($node, 'chat', 'im') eq $rows, "$what: so is every row");
    is(query(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (nextval('testing.ids'), 101, 1, 'after the crash');
            SELECT DISTINCT last_message_content FROM im.user_conversation_view WHERE channel_id = 101)), 'after the crash', "$what: writes go on");
    is_clean($node, 'chat', 'im', $what);
    is(health($node, 'chat', 'im'), '', "$what: healthy");
    query(q(SELECT hermet.reshard('im', 2, 4)));
    is_spread(2, 4, "$what: the next time it goes through");
    is_clean($node, 'chat', 'im', "$what, and again");
}

### Dumps.

my $plain = $node->backup_dir . '/plain.sql';
my $folder = $node->backup_dir . '/folder';
mkdir $node->backup_dir;
$node->safe_psql('postgres', "CREATE DATABASE $_") for 'plain', 'folder';
command_ok([ 'pg_dump', '-f', $plain, $node->connstr('chat') ], 'pg_dump of a sharded instance as SQL');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr('plain'), '-f', $plain ], 'it can be restored');
command_ok([ 'pg_dump', '-Fd', '-j2', '-f', $folder, $node->connstr('chat') ], 'pg_dump by two processes');
my ($out, $err) = run_command([ 'pg_restore', '-j2', '-d', $node->connstr('folder'), $folder ]);
is($err, '', 'pg_restore by two processes has nothing to complain about');
my $rows = contents($node, 'chat', 'im');
for my $database ('plain', 'folder') {
    my $what = "restored, $database";
    ok(contents($node, $database, 'im') eq $rows, "$what: every row is the same");
    is($node->safe_psql($database, q(SELECT * FROM hermet.shard_counts('im'))), '2|4', "$what: in as many partitions");
    is($node->safe_psql($database, q(
            INSERT INTO im.message (id, channel_id, sender_id, content) SELECT nextval('testing.ids'), c, 1, 'restored' FROM generate_series(101, 102) c;
            SELECT DISTINCT last_message_content FROM im.user_conversation_view WHERE channel_id IN (101, 102))), 'restored', "$what: writes go on");
    is(health($node, $database, 'im'), '', "$what: healthy");
    is_clean($node, $database, 'im', $what);
}
$node->safe_psql('folder', q(SELECT hermet.reshard('im', 4, 2)));
is_clean($node, 'folder', 'im', 'restored and resharded');

### Two sessions rebuild, each its own users.

sub start_rebuild {
    my ($call) = @_;
    my $rebuild = { out => '', err => '' };
    $rebuild->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('chat'), '-c', "CALL hermet.$call" ],
        '<', \undef, '>', \$rebuild->{out}, '2>', \$rebuild->{err});
    return $rebuild;
}

for my $damage ('wrong', 'gone') {
    query(q(BEGIN; SET LOCAL session_replication_role = replica; ) . ($damage eq 'gone'
        ? q(TRUNCATE im.user_conversation_view, im.conversation_reverse_index, im.user_contact_view, im.contact_reverse_index)
        : q(UPDATE im.user_conversation_view SET unread_count = unread_count + 77, conversation_name = 'wrong';
            UPDATE im.user_contact_view SET contact_nickname = 'wrong';
            DELETE FROM im.conversation_reverse_index WHERE owner_user_id % 3 = 0;
            DELETE FROM im.contact_reverse_index WHERE owner_user_id % 3 = 0)) . '; COMMIT');
    cmp_ok(query(q(SELECT count(*) FROM hermet.check_consistency('im'))), '>', 100, "rebuild of what is $damage: it is");
    # The users 10 and 11 have this channel: who rebuilds one of them waits, for this or for the other one.
    $holder->query_safe(q(BEGIN; SELECT FROM im.channel WHERE id = 110 FOR UPDATE));
    my @rebuilds = map { start_rebuild("rebuild_conversation_view('im', 40, $_)") } '0, 10', '11, 30';
    ok($node->poll_query_until('chat', qq(
            SELECT count(*) = 2 FROM hermet.progress('im') p
             WHERE p.operation = 'rebuild_conversation_view' AND p.state = 'running' AND pg_blocking_pids(p.pid) <> '{}')),
        "rebuild of what is $damage: two sessions at once") or die "the rest would wait for nothing\n";
    is(sqlstates($node, 'chat', q(CALL hermet.rebuild_conversation_view('im', 40, 5, 7))), '55006', "rebuild of what is $damage: a third one within the first is refused");
    $holder->query_safe('COMMIT');
    push @rebuilds, map { start_rebuild("rebuild_contact_view('im', 15, $_)") } '0, 10', '11, 30';
    for my $rebuild (@rebuilds) {
        $rebuild->{run}->finish;
        is($rebuild->{run}->result(0), 0, "rebuild of what is $damage: finished") or diag($rebuild->{err});
    }
    is_clean($node, 'chat', 'im', "rebuild of what is $damage");
}
is(health($node, 'chat', 'im'), '', 'rebuilt: healthy');

### By whom, in which transaction, behind whom.

my ($before, $relations) = (rows($node, 'chat', 'im'), relations());
query(q(CREATE ROLE somebody; GRANT USAGE ON SCHEMA hermet, im TO somebody; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA hermet TO somebody));
is(sqlstates($node, 'chat', q(SET ROLE somebody; SELECT hermet.reshard('im', 4, 8))), '42501', 'reshard() is for the owner');
query(q(CREATE SCHEMA theirs AUTHORIZATION somebody; SELECT hermet.create_shard_operators('theirs'); GRANT somebody TO postgres));
is(scalar sqlstates($node, 'chat', q(SET ROLE somebody; SELECT hermet.create_tables('theirs', 0, 0); SELECT hermet.reshard('theirs', 2, 4);
    INSERT INTO theirs.channel (id, channel_type) VALUES (3, 'group');
    INSERT INTO theirs.channel_member (id, channel_id, user_id) VALUES (1, 3, 5);
    INSERT INTO theirs.message (id, channel_id, sender_id) VALUES (1, 3, 6))), '', 'an owner who is no superuser can');
is(query('SELECT tableoid::regclass, unread_count FROM theirs.user_conversation_view'), 'theirs.user_conversation_view_1|1', 'and it works');
is_clean($node, 'chat', 'theirs', 'of another owner');

$session->query_safe(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000000, 5, 1)));
is($session->query_safe(q(SELECT count(*) FROM hermet.reshard('im', 4, 8))), $tables, 'after writes of its own transaction');
$session->query_safe(q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000001, 5, 1), (2000000002, 6, 1)));
is($session->query_safe(q(SELECT count(*) FROM hermet.check_consistency('im'))), '0', 'and before others, the read side is right');
$session->query_safe('ROLLBACK');
is(relations(), $relations, 'rolled back: the tables are those before');
ok(rows($node, 'chat', 'im') eq $before, 'rolled back: so is every row');
$session->query_safe(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000003, 5, 1); SAVEPOINT s;
    SELECT hermet.reshard('im', 0, 0); INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000004, 5, 1);
    ROLLBACK TO s; INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000005, 5, 1); COMMIT;
    INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000006, 6, 1)));
is(query('SELECT string_agg(id::text, \' \' ORDER BY id) FROM im.message WHERE id >= 2000000000'), '2000000003 2000000005 2000000006', 'rolled back to a savepoint: what was written around it stays');
is(relations(), $relations, 'rolled back to a savepoint: the tables are those before');
is_clean($node, 'chat', 'im', 'rolled back');

# Ids that plain tables would not allow are found before anybody is kept out: the open writer does not matter yet.
$holder->query_safe(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000020, 5, 1), (2000000021, 5, 1)));
query(q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000021, 6, 1), (2000000022, 6, 1)));
query(q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000022, 7, 1)));
is(query(q(SELECT * FROM hermet.reshard_obstacles('im', 0, 4))),
    '1 value(s) of (id) occur more than once in table message, for example 2000000022', 'an id in two channels: listed');
is(sqlstates($node, 'chat', q(SET lock_timeout = '10s'; SELECT hermet.reshard('im', 0, 4))), '23505', 'an id in two channels: refused at once');
query('DELETE FROM im.message WHERE id = 2000000022');
# One that is written meanwhile is found all the same, by the key.
begin_query($session, q(SELECT count(*) FROM hermet.reshard('im', 0, 4)));
ok(wait_until_blocked($node, $session_pid, $holder_pid), 'an id in two channels, not committed yet: it waits') or die "the rest would wait for nothing\n";
$holder->query_safe('COMMIT');
is(scalar $session->query('SELECT 1'), '1', 'an id in two channels, committed meanwhile: nothing is moved');
like($session->{stderr}, qr/42804/, 'an id in two channels, committed meanwhile: refused');
$session->{stderr} = '';
is(relations(), $relations, 'an id in two channels: the tables are those before');
query('DELETE FROM im.message WHERE id >= 2000000020');
is_clean($node, 'chat', 'im', 'an id in two channels');

# Behind an open writer: no longer than lock_timeout; meanwhile everybody else goes on, the writer, too.
$holder->query_safe(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000010, 5, 1)));
is(scalar $session->query(q(SET lock_timeout = '700ms'; SELECT hermet.reshard('im', 0, 0))), '', 'behind an open writer: nothing is moved');
like($session->{stderr}, qr/55P03/, 'behind an open writer: lock_timeout');
$session->{stderr} = '';
is($session->query('SHOW lock_timeout'), '700ms', 'behind an open writer: lock_timeout is as before');
$session->query_safe('SET lock_timeout = 0');
begin_query($session, q(BEGIN; SET LOCAL lock_timeout = '1h'; SELECT count(*) FROM hermet.reshard('im', 0, 0); SHOW lock_timeout; COMMIT));
ok(wait_until_blocked($node, $session_pid, $holder_pid), 'behind an open writer: it waits') or die "the rest would wait for nothing\n";
is(sqlstates($node, 'chat', q(SET lock_timeout = '15s'; INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000011, 5 + 1, 1))), '',
    'behind an open writer: others write meanwhile');
$holder->query_safe(q(SET LOCAL lock_timeout = '15s'; UPDATE im.biz_user SET nickname = 'waited for' WHERE id = 1;
    INSERT INTO im.channel_application (id, applicant_id, application_type, target_id) VALUES (2, 1, 'channel', 5)));

$holder->query_safe('COMMIT');
is($session->query('SELECT 1'), "$tables\n1h\n1", 'behind an open writer: once that is gone, it goes on');
is($session->{stderr}, '', 'behind an open writer: and succeeds');
is(query('SELECT count(*) FROM im.message WHERE id IN (2000000010, 2000000011)'), 2, 'behind an open writer: what they wrote is there');
is_clean($node, 'chat', 'im', 'behind an open writer');

# Negative ids, which plain tables take and partitions do not, are found as early as double ones.
$holder->query_safe(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (2000000030, 5, 1);
    INSERT INTO im.friendship (id, user_id, friend_id) VALUES (2000000031, 1, -5)));
query(q(INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (2000000032, 6, -7), (2000000033, 7, -8);
    INSERT INTO im.conversation_setting (user_id, channel_id) VALUES (-9, 6)));
my @negative = ('1 row(s) of table conversation_setting have a negative user_id, for example -9',
    '2 row(s) of table channel_member have a negative user_id, for example -8');
is(query(q(SELECT * FROM hermet.reshard_obstacles('im', 2, 4))), join("\n", @negative), 'negative ids: listed');
is(query(q(SELECT * FROM hermet.reshard_obstacles('im', 2, 0))), $negative[1], 'negative ids: of tables that would be partitioned');
is(query(q(SELECT * FROM hermet.reshard_obstacles('im', 0, 0))), '', 'negative ids: of no others');
{
    my ($status, $out, $err) = $node->psql('chat', qq(\\set VERBOSITY verbose\nSET lock_timeout = '10s'; SELECT hermet.reshard('im', 2, 4)));
    like($err, qr/ERROR:  23514: the rows in schema "im" do not fit into partitions\nDETAIL:  \Q$negative[1]\E\n/, 'negative ids: refused at once');
}
query(q(DELETE FROM im.channel_member WHERE user_id < 0; DELETE FROM im.conversation_setting WHERE user_id < 0));
begin_query($session, q(SELECT count(*) FROM hermet.reshard('im', 2, 4)));
ok(wait_until_blocked($node, $session_pid, $holder_pid), 'negative ids, not committed yet: it waits') or die "the rest would wait for nothing\n";
$holder->query_safe('COMMIT');
is(scalar $session->query('SELECT 1'), '1', 'negative ids, committed meanwhile: nothing is moved');
like($session->{stderr}, qr/23514/, 'negative ids, committed meanwhile: refused');
$session->{stderr} = '';
is_spread(0, 0, 'negative ids');
query('DELETE FROM im.friendship WHERE friend_id < 0; DELETE FROM im.message WHERE id = 2000000030');
is_clean($node, 'chat', 'im', 'negative ids');
query(q(SELECT hermet.reshard('im', 2, 4)));
is(query(q(SELECT * FROM hermet.reshard_obstacles('im', 4, 8))), '', 'partitions have no negative ids: nobody looks for any');

### A partition of message is away for a while.

sub table_altered { return query(q(SELECT detail FROM hermet.health('im') WHERE problem = 'table altered')); }

my $send = q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (nextval('testing.ids'), %d, 1));
my $read = q(INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (nextval('testing.ids'), 1, %d, 7)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id + 1);

sub is_away {
    my ($what) = @_;
    is(table_altered(), 'table message has no partition for the keys that are 1 modulo 2', "$what: health says so");
    is(query(q(SELECT value FROM hermet.metrics() WHERE name = 'hermet_missing_partitions' AND labels ->> 'schema' = 'im')), '1', "$what: so do metrics");
    is(sqlstates($node, 'chat', sprintf $send, 105), '23514', "$what: there is no place for a message");
    is(sqlstates($node, 'chat', sprintf $read, 101), '55000', "$what: nor can messages be counted");
    return is(sqlstates($node, 'chat', sprintf("$send; $read", 106, 120)), '', "$what: other channels do not notice");
}

@writers = start_writers(\@even, \@odd);
$holder->query_safe('BEGIN; SELECT count(*) FROM im.message WHERE channel_id = 2');
begin_query($session, 'ALTER TABLE im.message DETACH PARTITION im.message_1 CONCURRENTLY');
ok(wait_until_blocked($node, $session_pid, $holder_pid), 'DETACH waits for a reader') or die "the rest would wait for nothing\n";
is_away('while a partition is being detached');
$holder->query_safe('COMMIT');
is($session->query('SELECT 1'), '1', 'detached');
is($session->{stderr}, '', 'detached: without an error');
is_away('while a partition is detached');
my $unseen = q(INSERT INTO im.message_1 (id, channel_id, sender_id, content)
    VALUES (nextval('testing.ids'), 105, 5, 'unseen'), (nextval('testing.ids'), 7, 7, 'unseen'));
is(sqlstates($node, 'chat', $unseen), '39P01', 'while a partition is detached: its own triggers refuse a write to it');
{
    my ($status, $out, $err) = $node->psql('chat', $unseen);
    like($err, qr/fired on table "message_1"\nHINT:  .*ATTACH PARTITION/, 'while a partition is detached: and say how it comes back');
}
query("SET session_replication_role = replica; $unseen");
ok(writers_go_on(scalar @writers), 'while a partition is detached: writers go on');
retried($node, 'chat', 'ALTER TABLE im.message ATTACH PARTITION im.message_1 FOR VALUES WITH (MODULUS 2, REMAINDER ' . (1 + 230) % 2 . ')');
is(table_altered(), '', 'attached again: health has nothing to say');
is(query(q(SELECT sum(value) FROM hermet.metrics() WHERE name = 'hermet_missing_partitions')), '0', 'attached again: nor do metrics');
ok(writers_go_on(scalar @writers), 'attached again: writers go on');
my ($even, $odd) = stop_writers('a partition was away', @writers);
is($even, '', 'a partition was away: who did not write to it got no error');
like($odd, qr/^(23514|55000|23514 55000)$/, 'a partition was away: who wrote to it did');
cmp_ok(query(q(SELECT count(*) FROM hermet.check_consistency('im'))), '>', 0, 'attached again: what was written to it alone is not in the read side');
query(q(SELECT hermet.repair('im')));
is_clean($node, 'chat', 'im', 'attached again and repaired');
is(health($node, 'chat', 'im'), '', 'attached again and repaired: healthy');
is(sqlstates($node, 'chat', sprintf("$send; $read", 105, 101)), '', 'attached again: messages have a place');
is_spread(2, 4, 'attached again');
is_clean($node, 'chat', 'im', 'at the end');

$_->quit for $gate, $session, $holder;
$node->stop;
no_crash($node);

### A lock table that is too small for so many partitions: said before anything is made.

my $small = new_server('small', q(
    max_connections = 20
    max_locks_per_transaction = 10
    max_prepared_transactions = 0
    max_worker_processes = 0
    autovacuum_max_workers = 1
));
new_database($small, 'chat');
sub try_small {
    my ($sql) = @_;
    my ($status, $out, $err) = $small->psql('chat', "\\set VERBOSITY verbose\n$sql");
    return $err;
}
like(try_small(q(SELECT hermet.create_tables('im', 32, 2))), qr/ERROR:  53400: max_locks_per_transaction is too low for 32 partitions a table\n/, 'small: too many for each statement');
# Where plain tables fit, and a few partitions.
is(try_small(q(SELECT hermet.create_tables('im', 0, 0))), '', 'small: plain tables');
is(try_small(q(SELECT hermet.reshard('im', 1, 0))), '', 'small: one partition');
my $there = q(SELECT count(*), (SELECT count(*) FROM pg_opclass WHERE opcname = 'hermet_modulo_ops') FROM pg_class);
my $objects = $small->safe_psql('chat', $there);
for my $sql (q(SELECT hermet.create_tables('more', 8, 16)), q(SELECT hermet.reshard('im', 8, 16))) {
    like(try_small($sql), qr/ERROR:  53400: max_locks_per_transaction is too low to make 152 and drop [03] partitions in one transaction\nDETAIL:  That takes \d+ locks or more\. .*\nHINT:  Set max_locks_per_transaction = 128 /,
        "small: refused: $sql");
}
is($small->safe_psql('chat', $there), $objects, 'small: nothing was made');
is($small->safe_psql('chat', q(SELECT to_regnamespace('more') IS NULL)), 't', 'small: not even the schema');
$small->append_conf('postgresql.conf', 'max_locks_per_transaction = 128');
$small->restart;
is(try_small(q(SELECT hermet.create_tables('more', 8, 16); SELECT hermet.reshard('im', 8, 16))), '', 'as large as the hint says: both work');
is(try_small(q(SELECT hermet.reshard('more', 16, 16); SELECT hermet.reshard('im', 0, 0); SET client_min_messages = warning; DROP SCHEMA more CASCADE)), '', 'and so does to drop them');
$small->stop;
no_crash($small);
done_testing();
