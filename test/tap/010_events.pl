# The log of changes: no event is lost to whoever reads up to the horizon, whatever stays open, is undone, is
# prepared, or crashes; and replay mends a read side that was emptied or is of yesterday.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // 20250;
note "seed $seed (SEED=n for another)";
# Where a commit does not wait for the disk, nothing else is to write it there: no page that is thrown out, no writer.
my $node = new_server('main', "shared_buffers = '64MB'\nbgwriter_lru_maxpages = 0\nautovacuum = off", allows_streaming => 1);
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
$node->safe_psql('chat', q(SELECT hermet.enable_events('im')));
fill($node, 'chat', 'im');
is_clean($node, 'chat', 'im', 'with events');

my $id = 50000;
sub send_to {
    my ($channel) = @_;
    $id++;
    return "INSERT INTO im.message (id, channel_id, sender_id, content) VALUES ($id, $channel, 1, 'm$id')";
}

# A reader who remembers the last offset he got, and nothing else.
my $after = 0;
sub poll {
    my @got = split /\n/, $node->safe_psql('chat', qq(
        SELECT event_offset || ' ' || coalesce(key ->> 'id', '-') FROM hermet.read_events($after, 100000)));
    ($after) = $got[-1] =~ /^(\d+)/ if @got;
    return join ' ', map { (split / /)[1] } @got;
}
# The same by hand: the horizon first, then the events.
my $horizon = 0;
sub poll_by_hand {
    my $until = $node->safe_psql('chat', 'SELECT hermet.event_horizon()');
    my $got = $node->safe_psql('chat', qq(
        SELECT string_agg(coalesce(key ->> 'id', '-'), ' ' ORDER BY event_offset) FROM im.change_event
         WHERE event_offset > $horizon AND event_offset <= $until));
    cmp_ok($until, '>=', $horizon, 'the horizon does not go back');
    $horizon = $until;
    return $got;
}
sub both_get {
    my ($ids, $what) = @_;
    is(poll(), $ids, "$what: read_events()");
    is(poll_by_hand(), $ids, "$what: event_horizon()");
    return;
}
poll();
poll_by_hand();

# One stays open while others pass it.
my $open = background($node, 'chat');
$node->safe_psql('chat', send_to(1)); # 50001
$open->query('BEGIN');
$open->query(send_to(2)); # 50002
$node->safe_psql('chat', send_to(3)); # 50003
both_get('50001', 'what came before an open one');
$node->safe_psql('chat', send_to(4)); # 50004
both_get('', 'behind it');
$open->query(send_to(2)); # 50005
$open->query('COMMIT');
both_get('50002 50003 50004 50005', 'when it is committed');

$open->query('BEGIN');
$open->query(send_to(2)); # 50006
$node->safe_psql('chat', send_to(3)); # 50007
both_get('', 'behind one that is undone later');
$open->query('ROLLBACK');
both_get('50007', 'when it is undone');

# A savepoint takes its key along; the next event has one again.
$open->query('BEGIN');
$open->query('SAVEPOINT a');
$open->query(send_to(2)); # 50008
$node->safe_psql('chat', send_to(3)); # 50009
both_get('', 'behind a savepoint');
$open->query('ROLLBACK TO a');
both_get('50009', 'when it is undone');
$open->query(send_to(2)); # 50010
$node->safe_psql('chat', send_to(3)); # 50011
both_get('', 'behind what came after it');
$open->query('SAVEPOINT b');
$open->query(send_to(2)); # 50012
$open->query('ROLLBACK TO b');
$open->query('SAVEPOINT c');
$open->query(send_to(2)); # 50013
$open->query('RELEASE c');
both_get('', 'behind that still');
$open->query('COMMIT');
both_get('50010 50011 50013', 'when all is committed');

# A function that catches its error; the transaction goes on.
$open->query('BEGIN');
$open->query(q(DO $$ BEGIN ) . send_to(2) . q(; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN END $$)); # 50014
$node->safe_psql('chat', send_to(3)); # 50015
both_get('50015', 'beside a caught error');
$open->query('COMMIT');

# A reader with one snapshot sees what is known when it asks, and who asks for the horizon is told no.
my $reader = background($node, 'chat');
$reader->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->query('SELECT 1');
$node->safe_psql('chat', send_to(3)); # 50016
is($reader->query("SELECT key ->> 'id' FROM hermet.read_events($after)"), '50016',
    'read_events() at REPEATABLE READ sees what came after the snapshot');
$reader->query('COMMIT');
both_get('50016', 'nor is it lost');

# Prepared, over a restart and a crash.
$node->safe_psql('chat', 'BEGIN; ' . send_to(5) . q(; PREPARE TRANSACTION 'late')); # 50017
$node->safe_psql('chat', send_to(6)); # 50018
both_get('', 'behind a prepared one');
$reader->quit;
$open->quit;
$node->restart;
both_get('', 'after a restart');
$node->stop('immediate');
$node->start;
$node->safe_psql('chat', send_to(7)); # 50019
both_get('', 'after a crash');

# Replay does not go past it, and mends what it names when it is there.
my $replayed = $node->safe_psql('chat', 'SELECT hermet.replay_events(0)');
is($replayed, $horizon, 'replay ends where reading ends');
$node->safe_psql('chat', q(COMMIT PREPARED 'late'));
$node->safe_psql('chat', q(
    SELECT testing.plant('UPDATE im.user_conversation_view SET unread_count = unread_count + 1 WHERE channel_id IN (5, 6)')));
cmp_ok($node->safe_psql('chat', "SELECT hermet.replay_events($replayed + 1)"), '>', $replayed, 'and then goes on');
is_clean($node, 'chat', 'im', 'after a replay that had to wait');
both_get('50017 50018 50019', 'when it is committed');

# What was read is not drawn again after a crash, though it was committed without waiting for the disk.
$node->safe_psql('chat', 'CHECKPOINT');
kill 'STOP', $node->safe_psql('postgres', q(SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'));
$node->safe_psql('chat', 'SET synchronous_commit = off; ' . send_to(8));
both_get('50020', 'committed asynchronously');
my $read = $after;
$node->stop('immediate');
$node->start;
$node->safe_psql('chat', send_to(9)); # 50021
my $new = $node->safe_psql('chat', 'SELECT max(event_offset) FROM im.change_event');
cmp_ok($new, '>', $read, 'offsets that were read are not drawn again');
both_get('50021', 'after the crash');

# Of an aborted transaction neither.
$node->safe_psql('chat', 'BEGIN; ' . send_to(8) . '; ' . send_to(8) . '; ROLLBACK'); # 50022, 50023
both_get('', 'undone');

# The read side, emptied; of an older backup; while others write.
$node->safe_psql('chat', q(
    SELECT testing.plant('TRUNCATE im.user_conversation_view, im.user_contact_view, im.conversation_reverse_index, im.contact_reverse_index')));
is($node->safe_psql('chat', 'SELECT hermet.replay_events(0) = hermet.event_horizon()'), 't', 'replayed from the first');
is_clean($node, 'chat', 'im', 'an empty read side after replay');

my $read_side = '(user_conversation_view|user_contact_view|conversation_reverse_index|contact_reverse_index)(|_[0-9]+)';
my $backup = $node->basedir . '/read_side.sql';
my $since = $node->safe_psql('chat', 'SELECT hermet.event_horizon()');
$node->command_ok([ 'pg_dump', '--data-only', '-t', "im.$read_side", '-f', $backup, $node->connstr('chat') ],
    'a backup of the read side');
my $load = start_load($node, 'chat', 'im', 4, $seed);
load_goes_on($load);
stop_load($load);
# Rights and friends of the time before: as it was then, and what has come since is lost.
$node->safe_psql('chat', q(
    DELETE FROM im.friendship WHERE user_id = 3;
    UPDATE im.biz_user SET user_status = 'deleted', deleted_at = 1 WHERE id = 4;
    UPDATE im.channel SET channel_status = 'archived' WHERE id = 12;
    UPDATE im.channel_member SET user_id = 19 WHERE channel_id = 101 AND user_id = 1;
    DELETE FROM im.message WHERE channel_id = 5;
    SELECT testing.plant('TRUNCATE im.user_conversation_view, im.user_contact_view, im.conversation_reverse_index, im.contact_reverse_index')));
$node->command_ok([ 'psql', '-Xqt', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('chat') . ' options=-csession_replication_role=replica',
        '-f', $backup ], 'the old read side is back');
isnt($node->safe_psql('chat', q(SELECT count(*) FROM testing.diff('im'))), 0, 'it is not right');
$node->safe_psql('chat', "SELECT hermet.replay_events($since)");
is_clean($node, 'chat', 'im', 'an old read side after replay');

# In ranges that commit, as the user guide has it, while others write, on a read side that is wrong everywhere.
$node->safe_psql('chat', q(
    SELECT testing.plant('UPDATE im.user_conversation_view SET unread_count = unread_count + 1, last_message_content = ''?''')));
$load = start_load($node, 'chat', 'im', 4, $seed + 1);
retried($node, 'chat', q(
DO $$
DECLARE
  done bigint := 0;
  horizon bigint := hermet.event_horizon('im');
BEGIN
  WHILE done < horizon LOOP
    done := hermet.replay_events(done + 1, least(done + 500, horizon), 'im');
    COMMIT;
  END LOOP;
END
$$));
my $failed = stop_load($load);
is_clean($node, 'chat', 'im', 'after a replay in ranges under load');
is($failed->{XX000} // 0, 0, 'without internal errors');

# More events than are read at once: 4000 of one channel after the other, so that what is read last is named only there.
my $many = $node->safe_psql('chat', q(SELECT hermet.event_horizon()));
$node->safe_psql('chat', q(
    INSERT INTO im.message (id, channel_id, sender_id) SELECT 2000000000 + m, m / 4000 + 1, m % 20 + 1 FROM generate_series(0, 119999) m;
    UPDATE im.biz_user SET avatar = 'last'));
$node->safe_psql('chat', q(
    SELECT testing.plant('UPDATE im.user_conversation_view SET unread_count = 0, last_message_sender_name = ''?''')));
$node->safe_psql('chat', "SELECT hermet.replay_events($many + 1)");
is_clean($node, 'chat', 'im', 'after a replay of many events');

# Writers with commits, rollbacks and savepoints, some of them slow; readers who see each committed event once.
srand $seed;
my @tables = (
    sub { 'UPDATE im.message SET content = content || \'.\' WHERE id = ' . (10001 + int rand 20) },
    sub { send_to(1 + int rand 29) },
    sub { send_to(1 + int rand 29) },
    sub { 'UPDATE im.biz_user SET nickname = \'n' . int(rand 1000) . '\', passwd = \'secret\' WHERE id = ' . (1 + int rand 20) },
    sub { 'INSERT INTO im.conversation_setting AS s (user_id, channel_id) VALUES (' . (1 + int rand 20) . ', ' . (1 + int rand 29)
          . ') ON CONFLICT (user_id, channel_id) DO UPDATE SET is_muted = NOT s.is_muted' },
    sub { 'UPDATE im.friendship SET remark_name = \'r' . int(rand 1000) . '\' WHERE user_id = ' . (1 + int rand 20) },
    sub { 'DELETE FROM im.channel_application WHERE id % 7 = ' . int rand 7 },
    sub { 'INSERT INTO im.channel_application (id, applicant_id, application_type, target_id) VALUES (' . ++$id . ', 1, \'channel\', 5)' },
);
$id = 70000;
my @writers;
my $start = $after = $node->safe_psql('chat', 'SELECT max(event_offset) FROM im.change_event');
for my $number (1 .. 6) {
    my $file = $node->basedir . "/writer$number.sql";
    open my $script, '>', $file or die "$file: $!";
    print $script "\\set VERBOSITY sqlstate\n";
    for (1 .. 120) {
        my @steps = ('BEGIN');
        for (1 .. 1 + int rand 3) {
            push @steps, 'SAVEPOINT s' if rand() < 0.3;
            push @steps, $tables[ rand @tables ]->();
            push @steps, 'SELECT pg_sleep(' . int(rand 15) / 1000 . ')' if rand() < 0.4;
            push @steps, 'ROLLBACK TO s' if rand() < 0.5 && grep { $_ eq 'SAVEPOINT s' } @steps;
        }
        push @steps, rand() < 0.75 ? 'COMMIT' : 'ROLLBACK';
        print $script join(";\n", @steps), ";\n";
    }
    close $script or die "$file: $!";
    my $writer = { out => '', err => '' };
    $writer->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('chat'), '-f', $file ],
        '<', \undef, '>', \$writer->{out}, '2>', \$writer->{err});
    push @writers, $writer;
}
my (@seen, @by_hand);
my $last = $start;
my $rounds = 0;
for (;;) {
    my $running = grep { $_->{run}->pumpable && ($_->{run}->pump_nb || 1) } @writers;
    my @got = split /\n/, $node->safe_psql('chat', "SELECT event_offset FROM hermet.read_events($after, 50)");
    $after = $got[-1] if @got;
    push @seen, @got;
    my $until = $node->safe_psql('chat', 'SELECT hermet.event_horizon()');
    push @by_hand, split /\n/, $node->safe_psql('chat',
        "SELECT event_offset FROM im.change_event WHERE event_offset > $last AND event_offset <= $until ORDER BY 1");
    $last = $until;
    $rounds++;
    last if !$running && !@got;
}
$_->{run}->finish for @writers;
note "$rounds rounds, ", scalar(@seen), ' events; errors of the writers: ', join ' ', map { $_->{err} =~ /ERROR:  (\w+)/g } @writers;
my $all = $node->safe_psql('chat', "SELECT event_offset FROM im.change_event WHERE event_offset > $start ORDER BY 1");
cmp_ok(scalar(@seen), '>', 300, 'there was something to see');
cmp_ok($all =~ tr/\n// + 1, '<', $node->safe_psql('chat', "SELECT last_value - $start FROM im.change_event_event_offset_seq"),
    'and offsets that were drawn in vain');
is(join("\n", @seen), $all, 'read_events() gave each committed event once, in order');
is(join("\n", @by_hand), $all, 'event_horizon() let each committed event be read once, in order');
is_clean($node, 'chat', 'im', 'after all this');

# The log says all that happened: the last event of each row is the row, and rows without one are not there.
for my $table (
    [ 'message', 'channel_id, id' ], [ 'biz_user', 'id' ], [ 'channel_member', 'channel_id, user_id' ],
    [ 'channel_read_record', 'user_id, channel_id' ], [ 'friendship', 'user_id, friend_id' ],
    [ 'conversation_setting', 'user_id, channel_id' ], [ 'channel_application', 'target_id, id' ], [ 'channel', 'id' ]) {
    my ($name, $key) = @$table;
    my $pairs = join ', ', map { "'$_', t.$_" } split /, /, $key;
    # hermet's own columns of channel are as they were when the application wrote the row.
    my $row = "to_jsonb(t) - '{passwd,channel_member_count,last_message_at,last_message_id}'::text[]";
    is($node->safe_psql('chat', qq(
        WITH last AS (SELECT DISTINCT ON (key) key, operation, new_values - '{channel_member_count,last_message_at,last_message_id}'::text[] AS new_values
                        FROM im.change_event WHERE table_name = '$name' ORDER BY key, event_offset DESC)
        SELECT count(*) FROM (SELECT * FROM last WHERE operation <> 'delete') l
          FULL JOIN (SELECT jsonb_build_object($pairs) AS key, $row AS values FROM im.$name t) r USING (key)
         WHERE l.new_values IS DISTINCT FROM r.values)), 0, "the last events of $name are its rows");
}
is($node->safe_psql('chat', q(SELECT count(*) FROM im.change_event e WHERE e::text LIKE '%secret%')), 0, 'passwd is in none');

# A dump carries the log, its order and its triggers.
new_database($node, 'restored');
$node->safe_psql('restored', 'DROP EXTENSION hermet');
my $dump = $node->basedir . '/chat.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-n', 'im', '--extension=hermet', '-f', $dump, $node->connstr('chat') ], 'dumped');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), $dump ], 'restored');
is($node->safe_psql('restored', 'SELECT md5(string_agg(e::text, \',\' ORDER BY event_offset)) FROM im.change_event e'),
    $node->safe_psql('chat', 'SELECT md5(string_agg(e::text, \',\' ORDER BY event_offset)) FROM im.change_event e'),
    'the events are the same');
is($node->safe_psql('restored', 'SELECT last_value FROM im.change_event_event_offset_seq'),
    $node->safe_psql('chat', 'SELECT last_value FROM im.change_event_event_offset_seq'), 'so is the sequence');
is(health($node, 'restored', 'im'), '', 'restored: healthy');
$node->safe_psql('restored', send_to(3));
is($node->safe_psql('restored', "SELECT key ->> 'id' FROM hermet.read_events($after)"), $id, 'and events go on');

# A standby does not know.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
for my $call ('hermet.event_horizon()', 'count(*) FROM hermet.read_events()') {
    sql_fails($standby, 'chat', "SELECT $call", '55000', "$call on a standby");
}
$node->safe_psql('chat', 'BEGIN; ' . send_to(5) . q(; PREPARE TRANSACTION 'moves')); # is late
my $late = $id;
$node->safe_psql('chat', send_to(6));
my $next = $id;
$node->wait_for_catchup($standby);
my $at = $after = $node->safe_psql('chat', 'SELECT hermet.event_horizon()');
$node->stop;
$standby->promote;
is($standby->safe_psql('chat', 'SELECT hermet.event_horizon()'), $at, 'promoted: it knows what is prepared');
$standby->safe_psql('chat', q(COMMIT PREPARED 'moves'));
is($standby->safe_psql('chat', "SELECT string_agg(key ->> 'id', ' ') FROM hermet.read_events($at)"), "$late $next",
    'promoted: and loses nothing');
is_clean($standby, 'chat', 'im', 'promoted');
no_crash($node);
no_crash($standby);

$standby->stop;
done_testing();
