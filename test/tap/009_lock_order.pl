# A statement stopped in its middle, between two locks: whatever comes then must wait where the lock order
# says, and not hold what the first one needs next.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use Test::More;

my $node = new_server('main', "deadlock_timeout = '100ms'\n");
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

# An UPDATE of channel has its tuple when a user's row trigger stops it, and its key yet to come.
$node->safe_psql('chat', <<'SQL');
CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7);
    RETURN NULL;
END
$$;
CREATE TRIGGER pause AFTER UPDATE OF channel_name, channel_status ON im.channel
    FOR EACH ROW EXECUTE FUNCTION public.pause();
SQL

my ($gate, $first, $second) = map { background($node, 'chat') } 1 .. 3;
my ($first_pid, $second_pid) = map { scalar $_->query('SELECT pg_backend_pid()') } $first, $second;

my @updates = ([ 'a renamed group', q(UPDATE im.channel SET channel_name = channel_name || '!' WHERE id IN (5, 6)) ],
    [ 'an archived group', q(UPDATE im.channel SET channel_status = 'archived' WHERE id = 6) ]);
my @others = (
    [ 'a send', q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (%d, 6, 1)) ],
    [ 'sends to both', q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (%d, 5, 1), (1 + %1$d, 6, 1)) ],
    [ 'a recall', q(UPDATE im.message SET deleted_at = %d WHERE channel_id = 6 AND id = (SELECT max(id) FROM im.message WHERE channel_id = 6 AND deleted_at = 0)) ],
    [ 'a new member', q(INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (%d, 6, %1$d)) ],
    [ 'a member who leaves', q(UPDATE im.channel_member SET left_at = %d WHERE channel_id = 6 AND user_id = (SELECT min(user_id) FROM im.channel_member WHERE channel_id = 6 AND left_at = 0)) ]);

my $id = 70000;
for my $update (@updates) {
    for my $other (@others) {
        my $what = "$other->[0] against $update->[0]";
        $node->safe_psql('chat', q(UPDATE im.channel SET channel_status = 'active' WHERE channel_status = 'archived'));
        $id += 10;
        $gate->query('SELECT pg_advisory_lock(7)');
        begin_query($first, $update->[1]);
        wait_until_blocked($node, $first_pid) or die "$what: the first does not stop\n";
        begin_query($second, sprintf $other->[1], $id);
        ok(wait_until_blocked($node, $second_pid), "$what: it waits") or die "the rest would wait for nothing\n";
        $gate->query('SELECT pg_advisory_unlock(7)');
        $_->query('SELECT 1') for $first, $second;
        is($first->{stderr} . $second->{stderr}, '', "$what: no deadlock");
        $_->{stderr} = '' for $first, $second;
        is_clean($node, 'chat', 'im', $what);
    }
}

# A repair that fills an empty read side has the whole instance, which the stopped UPDATE asks for next.
$gate->query('SELECT pg_advisory_lock(7)');
$node->safe_psql('chat', q(SET session_replication_role = replica;
    DELETE FROM im.user_conversation_view; DELETE FROM im.user_contact_view;
    DELETE FROM im.conversation_reverse_index; DELETE FROM im.contact_reverse_index;
    UPDATE im.channel SET last_message_id = 0 WHERE id = 6));
begin_query($first, $updates[0][1]);
wait_until_blocked($node, $first_pid) or die "the update does not stop\n";
begin_query($second, q(SELECT hermet.repair('im')));
ok(wait_until_blocked($node, $second_pid), 'a repair of an empty read side against a renamed group: it waits')
    or die "the rest would wait for nothing\n";
$gate->query('SELECT pg_advisory_unlock(7)');
$_->query('SELECT 1') for $first, $second;
is($first->{stderr} . $second->{stderr}, '', 'a repair of an empty read side against a renamed group: no deadlock');
is_clean($node, 'chat', 'im', 'a repair of an empty read side against a renamed group');

# A statement that waits for the key of a channel still to come holds the tuple of a later one. When the channel is
# there, it must not ask for its tuple before it has given the later one back.
$node->safe_psql('chat', q(INSERT INTO im.channel (id, channel_type) VALUES (90, 'group');
    INSERT INTO im.channel_member (id, channel_id, user_id) SELECT 9000 + c, c, 1 FROM unnest(ARRAY[80, 90]) c));
my $sends = q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (%d, 80, 1), (1 + %1$d, 90, 1));
my $maker = background($node, 'chat');
$maker->query(q(BEGIN; INSERT INTO im.channel (id, channel_type) VALUES (80, 'group')));
$gate->query(q(BEGIN; INSERT INTO im.channel_read_record (id, user_id, channel_id) VALUES (9000, 1, 90)));
begin_query($first, sprintf $sends, 80000);
wait_until_blocked($node, $first_pid) or die "the first does not wait for the channel's key\n";
$maker->query('COMMIT');
begin_query($second, sprintf $sends, 80010);
ok(wait_until_blocked($node, $second_pid), 'a channel that comes: the second waits') or die "the rest would wait for nothing\n";
$gate->query('COMMIT');
$_->query('SELECT 1') for $first, $second;
is($first->{stderr} . $second->{stderr}, '', 'a channel that comes: no deadlock');
is($node->safe_psql('chat', 'SELECT unread_count + last_message_id FROM im.user_conversation_view WHERE channel_id = 90'), '80011',
    'a channel that comes: both have sent');
is_clean($node, 'chat', 'im', 'a channel that comes');

# A channel gets a higher key while a statement waits for its tuple. That statement must not lock what the channel has
# become, which comes after the channel that it needs next.
$node->safe_psql('chat', q(INSERT INTO im.channel (id, channel_type) VALUES (85, 'group')));
my $gate_pid = $gate->query('SELECT pg_backend_pid()');
$gate->query(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (90000, 90, 1)));
$maker->query(q(BEGIN; UPDATE im.channel SET id = 95 WHERE id = 85));
begin_query($first, q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (90001, 85, 1), (90002, 90, 1)));
wait_until_blocked($node, $first_pid) or die "the first does not wait for the channel's tuple\n";
$maker->query('COMMIT');
ok($node->poll_query_until('chat', "SELECT $gate_pid = ANY (pg_blocking_pids($first_pid))"), 'a channel of another key: the statement goes on to the next one');
$gate->query(q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (90003, 95, 1)));
$gate->query('COMMIT');
$first->query('SELECT 1');
is($first->{stderr} . $gate->{stderr}, '', 'a channel of another key: no deadlock');
is($node->safe_psql('chat', 'SELECT count(*) FROM im.message WHERE id BETWEEN 90000 AND 90003'), '4', 'a channel of another key: all have sent');
is_clean($node, 'chat', 'im', 'a channel of another key');

# All lock a channel's rows in the order of their users, wherever these are. Here they stop in the middle.
my @users = split /\n/, $node->safe_psql('chat', 'SELECT user_id FROM im.user_conversation_view WHERE channel_id = 5 ORDER BY 1');
cmp_ok(scalar @users, '>=', 10, 'the order of rows: a group of more members than there are partitions');
my $middle = $users[ @users / 2 ];
my %later = map { $_ => 1 } @users[ @users / 2 + 1 .. $#users ];
$node->safe_psql('chat', <<'SQL');
CREATE FUNCTION public.pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
SQL
my $message = [ 'a message', q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (91000, 5, 1)) ];
my @renames = ([ 'another name of the group', q(UPDATE im.channel SET channel_name = channel_name || '!' WHERE id = 5) ],
    [ 'another name of the last sender', q(UPDATE im.biz_user SET nickname = nickname || '!' WHERE id = 1) ]);
for my $writer ($message, @renames, 'CREATE TRIGGER pass BEFORE UPDATE ON im.user_conversation_view FOR EACH ROW EXECUTE FUNCTION public.pass()', @renames) {
    if (!ref $writer) {    # then statements do it
        $node->safe_psql('chat', $writer);
        $_->[0] .= ', by statements' for @renames;
        next;
    }
    my ($what, $sql) = @$writer;
    $gate->query("BEGIN; SELECT FROM im.user_conversation_view WHERE channel_id = 5 AND user_id = $middle FOR UPDATE");
    begin_query($first, $sql);
    ok(wait_until_blocked($node, $first_pid, $gate_pid), "the order of rows, $what: it waits") or die "the rest would wait for nothing\n";
    my @free = split /\n/, $node->safe_psql('chat', 'SELECT user_id FROM (SELECT user_id FROM im.user_conversation_view WHERE channel_id = 5 FOR UPDATE SKIP LOCKED) v');
    is(join(' ', sort @free), join(' ', sort keys %later), "the order of rows, $what: the earlier ones are locked, the later ones are not");
    $gate->query('COMMIT');
    $first->query('SELECT 1');
    is($first->{stderr}, '', "the order of rows, $what: it goes on");
}
is_clean($node, 'chat', 'im', 'the order of rows');

$_->quit for $maker, $gate, $first, $second;
no_crash($node);
done_testing();
