# A consumer that knows the stream and the contract only (test/stream) keeps both views in a second database: byte
# for byte those of the primary, wherever it was killed, whatever was written meanwhile.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} // 20260;
note "seed $seed (SEED=n for another)";
my $node = new_server('main', 'max_connections = 50', allows_streaming => 'logical');
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');
$node->safe_psql('chat', q(SELECT hermet.enable_events('im')));

# As the page has it, and a role that may read no password.
my $page = slurp_file("$ENV{HERMET_DOCS}/change-stream.md");
$node->safe_psql('chat', $page =~ /^(CREATE PUBLICATION cqrs_events .*?;)$/ms);
my ($rights) = $page =~ /```sql\n(CREATE ROLE mirror .*?)```/s;
ok($rights, 'the page says which rights a consumer needs');
$node->safe_psql('chat', $rights);
$node->safe_psql('chat', q(UPDATE im.biz_user SET passwd = 'secret of ' || id));

my $db = 'chat';
sub program {
    return ($ENV{HERMET_MIRROR}, $node->connstr($db) . ' user=mirror', $node->connstr('second') . ' options=-csearch_path=copy', 'im');
}
sub new_second {
    $node->safe_psql('postgres', 'DROP DATABASE IF EXISTS second WITH (FORCE)');
    $node->safe_psql('postgres', 'CREATE DATABASE second');
    $node->safe_psql('second', 'CREATE SCHEMA copy');
    return;
}
sub start_mirror {
    my %mirror = (out => '', err => '');
    $mirror{run} = IPC::Run::start([ program() ], '<', \undef, '>', \$mirror{out}, '2>', \$mirror{err});
    return \%mirror;
}
# What does not come would not come later either.
sub wait_for {
    my ($database, $condition) = @_;
    $node->poll_query_until($database, $condition) or die "it does not come to this: $condition";
    return;
}
# kill -9, and what it said until then.
sub kill_mirror {
    my ($mirror, $what) = @_;
    $mirror->{run}->pump_nb;
    $mirror->{run}->signal('KILL');
    $mirror->{run}->finish;
    return is($mirror->{err}, '', "$what: it said nothing until it was killed");
}
sub second { return $node->safe_psql('second', "SET search_path = copy; $_[0]") }
sub events_of_copy { return second('SELECT coalesce((SELECT events FROM progress), -1)') }
sub wait_for_events {
    my ($goal) = @_;
    return wait_for('second', "SELECT events >= $goal FROM copy.progress");
}

# All columns but updated_at, of all rows, as text in one order. list_hour as the consumer has it,
# where it is 0.
sub view {
    my ($database, $schema, $view) = @_;
    my $columns = $node->safe_psql($db, qq(
        SELECT string_agg(attname, ', ' ORDER BY attname) FROM pg_attribute
         WHERE attrelid = 'im.$view'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> 'updated_at'));
    $columns =~ s{\blist_hour\b}{coalesce(nullif(list_hour, 0), greatest(last_message_time, opened_at, 0) / 3600000 + 1) AS list_hour};
    my @rows = split /\n/, $node->safe_psql($database, qq(
        SELECT to_json(r) FROM (SELECT $columns FROM $schema.$view) r ORDER BY to_json(r)::text COLLATE "C"));
    return \@rows;
}
sub is_equal {
    my ($what) = @_;
    run_log([ program(), 'once' ], '<', \undef) or return fail("$what: the consumer ends when nothing is left");
    for my $view (qw(user_conversation_view user_contact_view)) {
        my ($primary, $copy) = (view($db, 'im', $view), view('second', 'copy', $view));
        cmp_ok(scalar(@$primary), '>', 0, "$what: $view has rows") unless $what =~ /empty/;
        my @wrong = grep { ($primary->[$_] // '') ne ($copy->[$_] // '') } 0 .. ($#$primary > $#$copy ? $#$primary : $#$copy);
        ok(!@wrong, "$what: $view is equal, " . scalar(@$primary) . ' rows')
          or diag join "\n", map { 'primary: ' . ($primary->[$_] // '-'), 'copy:    ' . ($copy->[$_] // '-') } @wrong[ 0 .. ($#wrong > 2 ? 2 : $#wrong) ];
    }
    return is_clean($node, $db, 'im', $what);
}
# The slot's events, each once: so many were applied as there are since the first copy.
my $before_copy = 0;
sub is_once {
    my ($what) = @_;
    return is(events_of_copy(), $node->safe_psql('chat', 'SELECT count(*) FROM im.change_event') - $before_copy,
        "$what: each event was applied once");
}

# The first copy, while others write: killed in the middle, and begun again.
my $load = start_load($node, 'chat', 'im', 3, $seed);
new_second();
my $lock = background($node, 'second');
my $mirror = start_mirror();
wait_for('second', q(SELECT to_regclass('copy.progress') IS NOT NULL));
kill_mirror($mirror, 'the first copy');
$mirror = start_mirror();
wait_for('second', q(SELECT count(*) = 1 FROM copy.progress));
ok(1, 'the first copy is made while others write');

# One stays open while others pass it.
my $open = background($node, 'chat');
$open->query('BEGIN');
$open->query(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (60001, 20, 20, 'early, late')));
$open->query(q(UPDATE im.friendship SET remark_name = 'late' WHERE user_id = 18));

# Killed anywhere, again and again.
for my $round (1 .. 3) {
    wait_for_events(events_of_copy() + 20 + $seed % 7);
    kill_mirror($mirror, "round $round");
    load_goes_on($load);
    $mirror = start_mirror();
}
# In the middle of a transaction: it waits for a lock in its own database, having applied what came before.
$lock->query(q(BEGIN; LOCK TABLE copy.friendship IN ACCESS EXCLUSIVE MODE));
$node->safe_psql('chat', q(
    BEGIN;
    INSERT INTO im.message (id, channel_id, sender_id, content) SELECT 61000 + m, 21, 2, 'with others' FROM generate_series(1, 50) m;
    INSERT INTO im.friendship (id, user_id, friend_id) VALUES (61000, 2, 20);
    COMMIT));
wait_for('second', q(
    SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'copy.friendship'::regclass AND NOT granted)));
is(second('SELECT count(*) FROM message WHERE id BETWEEN 61001 AND 61050'), 0, 'half a transaction is not to be seen');
kill_mirror($mirror, 'in a transaction');
$lock->query('ROLLBACK');
$mirror = start_mirror();
wait_for_events(events_of_copy() + 1);
is(second('SELECT count(*) FROM message WHERE id = 60001'), 0, 'nor what is still open');
$open->query('COMMIT');
stop_load($load);
kill_mirror($mirror, 'at the end of the load');
is_equal('after the load');

# All events again: the slot as it was. They are known, and nothing is applied twice.
$node->safe_psql('chat', q(SELECT pg_copy_logical_replication_slot('mirror', 'earlier')));
$before_copy = $node->safe_psql('chat', 'SELECT count(*) FROM im.change_event') - events_of_copy();

# Keys, renames, deletes; what nobody sees; what shows in many rows.
$node->safe_psql('chat', q(
    SET search_path = im;
    UPDATE channel_member SET user_id = 19 WHERE channel_id = 101 AND user_id = 1;
    UPDATE message SET id = id + 30000 WHERE channel_id = 3;
    UPDATE message SET channel_id = 22 WHERE channel_id = 23;
    UPDATE friendship SET friend_id = 17 WHERE user_id = 6 AND friend_id = 7;
    UPDATE biz_user SET id = 21 WHERE id = 12;
    UPDATE channel SET id = 31 WHERE id = 16;
    UPDATE biz_user SET nickname = 'renamed "' || id || E'"\n\\ ü', avatar = '', passwd = 'another secret' WHERE id % 3 = 0;
    UPDATE biz_user SET user_status = 'deleted' WHERE id = 8;
    UPDATE channel_member SET nickname = 'in this channel' WHERE user_id % 4 = 0;
    UPDATE friendship SET remark_name = 'remark ' || friend_id, tags = '{}' WHERE user_id % 2 = 0;
    UPDATE friendship SET is_starred = NOT is_starred, is_blocked = true WHERE user_id = 3;
    UPDATE channel SET channel_status = 'archived' WHERE id = 4;
    UPDATE channel SET channel_type = 'single' WHERE id = 120;
    UPDATE channel_member SET left_at = 7000 WHERE channel_id = 105 AND user_id = 5;
    UPDATE channel_read_record SET last_read_message_id = last_read_message_id / 2 WHERE user_id = 2;
    DELETE FROM message WHERE channel_id = 6;
    DELETE FROM biz_user WHERE id = 11;
    DELETE FROM channel WHERE id = 7;
    DELETE FROM conversation_setting WHERE user_id = 4;
    INSERT INTO message (id, channel_id, sender_id, content, mention_user_ids)
    SELECT 62000, 8, 5, string_agg(md5(i::text), ''), '{NULL,4}' FROM generate_series(1, 1000) i;
    UPDATE message SET sent_at = sent_at + 1 WHERE id = 62000;
    SELECT hermet.order_inboxes('im', 10)));
is_equal('after changes of keys, names and rights');
is_once('after changes of keys, names and rights');
cmp_ok($node->safe_psql('chat', 'SELECT count(DISTINCT list_hour) FROM im.user_conversation_view'), '>', 1, 'some inboxes have hours');

# The slot as it was before that: what it gives again is known.
my $known = events_of_copy();
$node->safe_psql('chat', q(
    SELECT pg_drop_replication_slot('mirror');
    SELECT pg_copy_logical_replication_slot('earlier', 'mirror')));
is_equal('after all of that was read again');
is(events_of_copy(), $known, 'nothing was applied again');

# TRUNCATE, alone and with what comes after it in one transaction; prepared ones; savepoints.
$node->safe_psql('chat', q(
    BEGIN;
    INSERT INTO im.conversation_setting (user_id, channel_id, is_pinned) VALUES (9, 9, true) ON CONFLICT DO NOTHING;
    TRUNCATE im.conversation_setting, im.friendship;
    INSERT INTO im.friendship (id, user_id, friend_id) VALUES (63000, 1, 3), (63001, 1, 4);
    SAVEPOINT s;
    INSERT INTO im.friendship (id, user_id, friend_id) VALUES (63002, 1, 5);
    ROLLBACK TO s;
    COMMIT;
    BEGIN;
    INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (63003, 9, 2, 'prepared');
    PREPARE TRANSACTION 'later'));
is_equal('after TRUNCATE');
$node->safe_psql('chat', q(COMMIT PREPARED 'later'));
is_equal('after a prepared one');
$node->safe_psql('chat', q(TRUNCATE im.message));
is_equal('without messages');
$node->safe_psql('chat', "INSERT INTO im.message (id, channel_id, sender_id) SELECT 64000 + m, 1 + m % 30, 1 + m % 20"
      . " FROM generate_series($_ * 6000, $_ * 6000 + 5999) m") for 0 .. 2;
is_equal('after more than a batch');
is_once('after more than a batch');

# The server's log that others write is not kept for a consumer who has nothing to read.
my $at = $node->safe_psql('chat', q(SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'mirror'));
$node->safe_psql('chat', q(
    CREATE TABLE others AS SELECT repeat(md5(i::text), 5) FROM generate_series(1, 150000) i));
$mirror = start_mirror();
ok($node->poll_query_until('chat', "SELECT confirmed_flush_lsn - '$at' > 16777216 FROM pg_replication_slots WHERE slot_name = 'mirror'"),
    'the slot goes on though nobody writes events');
kill_mirror($mirror, 'without events');

# Passwords are neither readable for the consumer, nor in what it is sent.
sql_fails($node, 'chat', 'SET ROLE mirror; SELECT passwd FROM im.biz_user', '42501', 'a password');
unlike($node->safe_psql('chat', q(
    SELECT string_agg(encode(data, 'escape'), '') FROM pg_logical_slot_get_binary_changes('earlier', NULL, NULL,
        'proto_version', '1', 'publication_names', 'cqrs_events'))), qr/secret|passwd/, 'no password in the stream');

# A slot that somebody else has read from, or a new one, is no longer this copy's.
$node->safe_psql('chat', q(
    INSERT INTO im.message (id, channel_id, sender_id) VALUES (90001, 1, 1);
    SELECT count(*) FROM pg_logical_slot_get_binary_changes('mirror', NULL, NULL, 'proto_version', '1', 'publication_names', 'cqrs_events')));
command_fails_like([ program(), 'once' ], qr/the slot does not go on where this copy ends/, 'a gap is seen');
new_second();
$before_copy = $node->safe_psql('chat', 'SELECT count(*) FROM im.change_event');
is_equal('after a new beginning');
is_once('after a new beginning');
is(health($node, 'chat', 'im'), '', 'healthy');

# The same from partitions: what moves between them, is written to one, or goes with all that is in one.
SKIP: {
    skip 'all of it was from partitions', 1 if $ENV{SHARDS};
    $db = 'sharded';
    new_database($node, $db);
    my ($status) = $node->psql($db, q(SELECT hermet.create_tables('im', 2, 4)));
    skip 'partitions cannot be made', 1 if $status;
    fill($node, $db, 'im');
    $node->safe_psql($db, q(SELECT hermet.enable_events('im')));
    $node->safe_psql($db, $_) for $page =~ /^(CREATE PUBLICATION cqrs_events .*?;)$/ms, $rights =~ /^(GRANT .*?;)$/msg;
    new_second();
    $mirror = start_mirror();
    wait_for('second', q(SELECT to_regclass('copy.progress') IS NOT NULL));
    wait_for('second', q(SELECT count(*) = 1 FROM copy.progress));
    $load = start_load($node, $db, 'im', 3, $seed + 1);
    wait_for_events(events_of_copy() + 20);
    kill_mirror($mirror, 'partitions');
    load_goes_on($load);
    stop_load($load);
    is_equal('partitions, after the load');
    $node->safe_psql($db, q(
        SET search_path = im;
        UPDATE message SET channel_id = 23, id = id + 50000 WHERE channel_id = 22;
        UPDATE channel_member SET user_id = 19 WHERE channel_id = 101 AND user_id = 1;
        UPDATE channel_read_record SET user_id = user_id + 20 WHERE user_id = 2;
        INSERT INTO message_1 (id, channel_id, sender_id, content) VALUES (70001, 21, 1, 'to a partition');
        UPDATE friendship_3 SET remark_name = 'in a partition';
        DELETE FROM conversation_setting_0;
        UPDATE biz_user SET nickname = 'renamed ' || id));
    is_equal('partitions, after moves');
    $node->safe_psql($db, q(TRUNCATE im.message_1, im.friendship_2; INSERT INTO im.message (id, channel_id, sender_id) VALUES (70002, 21, 1)));
    is_equal('partitions, after TRUNCATE of some');
    $node->safe_psql($db, q(TRUNCATE im.channel_read_record));
    is_equal('partitions, after TRUNCATE of all');
}
no_crash($node);

$_->quit for $open, $lock;
$node->stop;
done_testing();
