# Limits of the server: of the stack, of memory, of time, of the lock table. Whoever runs into one gets the
# server's own error, and nothing has drifted; a large statement takes memory in proportion to its keys.
# HERMET_FULL_SIZE=1 measures the memory of statements of up to a million rows.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $full_size = $ENV{HERMET_FULL_SIZE};
# Few locks, so that the lock table can be filled, but enough to make the instance; few buffers, as a process's size includes
# those it has seen.
my $locks = $ENV{SHARDS} ? 25 : 10;
my $node = new_server('main', qq(
    max_connections = 10
    max_locks_per_transaction = $locks
    shared_buffers = '16MB'
    jit = off
));
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

# A write of every kind, each undoable by its own transaction; what it changes concerns channel 1, 101 or user 1.
my %paths = (
    'message' => q(INSERT INTO im.message (id, channel_id, sender_id, mention_all) VALUES (60001, 1, 2, true)),
    'recall' => q(UPDATE im.message SET deleted_at = 1 WHERE channel_id = 1 AND deleted_at = 0),
    'member' => q(DELETE FROM im.channel_member WHERE channel_id = 1 AND user_id = 1),
    'channel' => q(UPDATE im.channel SET channel_status = 'archived' WHERE id = 1),
    'channel name' => q(UPDATE im.channel SET channel_name = 'other' WHERE id = 1),
    'friendship' => q(UPDATE im.friendship SET remark_name = 'other', is_starred = NOT is_starred WHERE user_id = 1),
    'user' => q(UPDATE im.biz_user SET nickname = 'other' WHERE id = 1),
    'read mark' => q(INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (60001, 1, 1, 700)
                     ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = 1000 - im.channel_read_record.last_read_message_id),
    'setting' => q(INSERT INTO im.conversation_setting (user_id, channel_id, is_muted) VALUES (1, 1, true)
                   ON CONFLICT (user_id, channel_id) DO UPDATE SET is_muted = NOT im.conversation_setting.is_muted),
    'truncate' => q(TRUNCATE im.channel_read_record),
    'repair' => q(SELECT count(*) FROM hermet.repair('im')),
    'repair of an inbox' => q(SELECT count(*) FROM hermet.repair_conversation_view(1, 'im')),
    'repair of contacts' => q(SELECT count(*) FROM hermet.repair_contact_view(1, 'im')),
    'repair of a channel' => q(SELECT count(*) FROM hermet.repair_channel(1, 'im')),
    'check' => q(SELECT count(*) FROM hermet.check_consistency('im')),
    'summary' => q(SELECT count(*) FROM hermet.consistency_summary('im')),
    'explanation' => q(SELECT count(*) FROM hermet.explain_conversation(1, 1, 'im')),
    'upgrade' => q(SELECT hermet.upgrade('im')),
);
my @paths = sort keys %paths;

# What somebody else holds while a path wants it: a table that is read last, and (for writes) keys.
my %holds = (
    'tables' => [ q(LOCK TABLE im.user_conversation_view, im.user_contact_view IN ACCESS EXCLUSIVE MODE), @paths ],
    'keys' => [ q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (60002, 1, 4);
                  UPDATE im.friendship SET remark_name = 'mine' WHERE user_id = 20;
                  UPDATE im.biz_user SET nickname = 'mine' WHERE id = 2;),
        'message', 'recall', 'member', 'channel name', 'read mark', 'setting' ],
);
my $before = rows($node, 'chat', 'im');
my $holder = background($node, 'chat');
my $session = background($node, 'chat');
my $pid = $session->query('SELECT pg_backend_pid()');

for my $held (sort keys %holds) {
    my ($hold, @names) = @{ $holds{$held} };
    $holder->query_safe("BEGIN; $hold");
    # The lock is never given while they wait, so the length of their patience decides nothing. Only the path itself
    # is under the timeout: on a busy machine any other statement may take as long.
    $session->query(join ";\n", map {
        qq(SET lock_timeout = '1ms'; $paths{$_}; RESET lock_timeout;
           BEGIN; SET LOCAL statement_timeout = '20ms'; $paths{$_}; ROLLBACK;
           BEGIN; SAVEPOINT s; SET LOCAL lock_timeout = '1ms'; $paths{$_}; ROLLBACK TO s; SELECT 1; COMMIT)
    } @names);
    is(join(' ', $session->{stderr} =~ /ERROR:  (\w{5})/g), join(' ', ('55P03 57014 55P03') x @names),
        "$held held: lock_timeout and statement_timeout end every path") or diag(join ', ', @names);
    $session->{stderr} = '';

    my @cancelled;
    for my $name (@names) {
        $session->{stdin} .= "$paths{$name};\n";
        $session->{run}->pump_nb;
        wait_until_blocked($node, $pid);
        $node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
        my $usable = $session->query("SELECT 'usable'");
        push @cancelled, $name if $usable =~ /^usable$/m && $session->{stderr} =~ /^psql:\S+ ERROR:  57014\s*$/;
        $session->{stderr} = '';
    }
    is("@cancelled", "@names", "$held held: so does pg_cancel_backend(), and the session goes on");
    $holder->query_safe('ROLLBACK');
    ok(rows($node, 'chat', 'im') eq $before, "$held held: nothing is left of any");
    is_clean($node, 'chat', 'im', "$held held");
}

# In the same session, they all go through afterwards, and have no less effect for what was.
is($session->query(q(SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'userlock')),
    0, 'no lock of a failed statement is left');
$session->query_safe(join ";\n", map { "BEGIN;\n$paths{$_};\nROLLBACK" } @paths);
ok(rows($node, 'chat', 'im') eq $before, 'every path goes through, and is undone');
$session->query_safe(join ";\n", map { $paths{$_} } @paths);
ok(rows($node, 'chat', 'im') ne $before, 'every path goes through');
is_clean($node, 'chat', 'im', 'after all of them');

# A larger statement is ended by statement_timeout wherever it is: it gets a little more time until it needs no more.
my $large = q(
    WITH a AS (UPDATE im.biz_user SET nickname = nickname || '.' RETURNING 1),
         b AS (UPDATE im.channel_member SET nickname = nickname || '.' RETURNING 1),
         c AS (UPDATE im.friendship SET remark_name = remark_name || '.' RETURNING 1)
    INSERT INTO im.message (id, channel_id, sender_id, mention_user_ids)
    SELECT m, m % 29 + 1, m % 20 + 1, ARRAY[m % 20, 3] FROM generate_series(61001, 61800) m);
my ($patience, $ended, $state) = (1, 0, '');
while (($state = sqlstates($node, 'chat', "SET statement_timeout = $patience; $large")) eq '57014') {
    $ended++;
    $patience = int($patience * 1.6) + 1;
}
note "ended $ended times, went through within $patience ms";
is($state, '', 'statement_timeout ends it, or it goes through');
cmp_ok($ended, '>', 0, 'it was ended');
is($node->safe_psql('chat', 'SELECT count(*) FROM im.message WHERE id > 61000'), 800, 'it went through once');
is_clean($node, 'chat', 'im', 'statement_timeout anywhere');

# The smallest stack and the least memory for sorting: everything works, or is refused for want of stack.
for my $setting (q(work_mem = '64kB'), q(max_stack_depth = '100kB')) {
    my ($states) = sqlstates($node, 'chat', "SET $setting; " . join ";\n", map { $paths{$_} } @paths);
    my @other = grep { $_ ne '54001' } @$states;
    is("@other", '23505', "$setting: no error but the message that is there already") if "@other";
    is_clean($node, 'chat', 'im', $setting);
    $node->safe_psql('chat', 'DELETE FROM im.message WHERE id = 60001');
}
# The owner's trigger that never ends writing messages runs out of stack, not of anything else.
$node->safe_psql('chat', q(
    CREATE FUNCTION testing.echo() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO im.message (id, channel_id, sender_id) VALUES (new.id + 1, new.channel_id, 2);
        RETURN NULL;
    END $$;
    CREATE TRIGGER own_echo AFTER INSERT ON im.message FOR EACH ROW EXECUTE FUNCTION testing.echo();));
is(scalar sqlstates($node, 'chat', q(
        SET max_stack_depth = '300kB';
        INSERT INTO im.message (id, channel_id, sender_id) VALUES (70000, 1, 2);)),
    '54001', 'an endless recursion: 54001');
$node->safe_psql('chat', 'DROP FUNCTION testing.echo() CASCADE');
is($node->safe_psql('chat', 'SELECT count(*) FROM im.message WHERE id >= 70000'), 0, 'nothing is left of it');
is_clean($node, 'chat', 'im', 'an endless recursion');

# The lock table is full: thousands of keys, and no lock on the whole instance instead of them, as another
# session is in the middle of a transaction.
$node->safe_psql('chat', q(
    INSERT INTO im.channel (id, channel_type) SELECT 100000 + c, 'group' FROM generate_series(1, 6000) c;
    INSERT INTO im.channel_member (id, channel_id, user_id, joined_at)
    SELECT 100000 + c, 100000 + c, c % 20 + 1, 1 FROM generate_series(1, 6000) c;
    INSERT INTO im.biz_user (id) SELECT u FROM generate_series(100001, 106000) u;
    INSERT INTO im.friendship (id, user_id, friend_id) SELECT u, u, u + 1 FROM generate_series(100001, 106000) u;));
my %many = (
    'messages' => q(INSERT INTO im.message (id, channel_id, sender_id) SELECT c, c, 1 FROM generate_series(100001, 106000) c),
    'members' => q(UPDATE im.channel_member SET left_at = 1 WHERE id > 100000 AND id <= 106000),
    'channels' => q(UPDATE im.channel SET channel_name = 'other' WHERE id > 100000),
    'friendships' => q(UPDATE im.friendship SET remark_name = 'other' WHERE id > 100000),
    'users' => q(UPDATE im.biz_user SET nickname = 'other' WHERE id > 100000),
    'settings' => q(INSERT INTO im.conversation_setting (user_id, channel_id) SELECT 1, c FROM generate_series(100001, 106000) c),
    'read marks' => q(INSERT INTO im.channel_read_record (id, user_id, channel_id) SELECT c, 1, c FROM generate_series(100001, 106000) c),
);
$before = rows($node, 'chat', 'im');
$holder->query_safe('BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (60003, 4, 1)');
for my $name (sort keys %many) {
    my ($status, $out, $err) = $node->psql('chat', "\\set VERBOSITY verbose\n$many{$name}", on_error_stop => 1);
    like($err, qr/ERROR:  53200: out of shared memory\nHINT:  .*max_locks_per_transaction/,
        "very many $name: the lock table is full, and the server says so");
}
ok(rows($node, 'chat', 'im') eq $before, 'very many keys: nothing is left of any');
is($holder->query_safe(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (66000, 4, 1, 'goes on');
        COMMIT;
        SELECT DISTINCT last_message_content FROM im.user_conversation_view WHERE channel_id = 4)),
    'goes on', 'the other session goes on');
is_clean($node, 'chat', 'im', 'very many keys');
$node->safe_psql('chat', join ";\n", map { $many{$_} } sort keys %many);
is_clean($node, 'chat', 'im', 'very many keys, with nobody else there');
$session->quit;
$holder->quit;

# What a statement's process grows by, beside the same statement on the same tables without triggers.
SKIP: {
    skip 'the size of a process is read from /proc', 1 unless -r '/proc/self/status';
    my $share = $full_size ? 1 : 1 / 10;
    # Sorting and hashing, within work_mem, come on top of what each row takes.
    my $bound = 100 * $share + 10;
    my ($messages, $members, $friends, $users) = map { $_ * $share } 1_000_000, 300_000, 300_000, 200_000;
    my $groups = $members / 20;
    # Each from row LO to row HI: first some, for what has nothing to do with their number (buffers, code,
    # catalogs, plans), then the others, whose growth counts.
    my $some = 1500;
    my @statements = (
        [ 'channels', $groups, q(INSERT INTO S.channel (id, channel_type) SELECT 200000 + c, 'group' FROM generate_series(LO, HI) c) ],
        [ 'users', $users, q(INSERT INTO S.biz_user (id, nickname) SELECT 200000 + u, 'u' || u FROM generate_series(LO, HI) u) ],
        [ 'members', $members, qq(INSERT INTO S.channel_member (id, channel_id, user_id, joined_at)
              SELECT 10000000 + m, 200000 + m / 20, 200000 + m % $users, 1 FROM generate_series(LO, HI) m) ],
        [ 'friendships', $friends, qq(INSERT INTO S.friendship (id, user_id, friend_id)
              SELECT 10000000 + f, 200000 + f % $users, 200000 + (f * 7 + f / $users) % $users FROM generate_series(LO, HI) f) ],
        [ 'messages', $messages, qq(INSERT INTO S.message (id, channel_id, sender_id, content, mention_user_ids)
              SELECT 10000000 + m, 200000 + m % $groups, 200000 + m % $users, 'text of message ' || m, ARRAY[200000 + m % 100]
                FROM generate_series(LO, HI) m) ],
        [ 'renames', $users, q(UPDATE S.biz_user SET nickname = nickname || '.' WHERE id BETWEEN 200000 + LO AND 200000 + HI) ],
        [ 'remarks', $friends, q(UPDATE S.friendship SET remark_name = 'r' WHERE id BETWEEN 10000000 + LO AND 10000000 + HI) ],
        [ 'recalls', $messages, q(UPDATE S.message SET deleted_at = 1 WHERE id BETWEEN 10000000 + LO AND 10000000 + HI) ],
        [ 'moves', $messages, qq(UPDATE S.message SET channel_id = 200000 + (id + 1) % $groups, deleted_at = 0
                WHERE id BETWEEN 10000000 + LO AND 10000000 + HI) ],
        [ 'departures', $members, q(UPDATE S.channel_member SET left_at = 1 WHERE id BETWEEN 10000000 + LO AND 10000000 + HI) ],
        [ 'removals', $messages, q(DELETE FROM S.message WHERE id BETWEEN 10000000 + LO AND 10000000 + HI) ],
    );
    $node->safe_psql('chat', join ";\n", 'CREATE SCHEMA plain',
        map { "CREATE TABLE plain.$_ (LIKE im.$_ INCLUDING ALL)" } qw(biz_user channel channel_member friendship message));
    my @too_much;
    for (@statements) {
        my ($name, $rows, $sql) = @$_;
        my %size;
        for my $schema (qw(plain im)) {
            my ($start, $end) = split /\n/, $node->safe_psql('chat', join "\n", map {
                my ($lo, $hi) = @$_;
                my %word = (S => $schema, LO => $lo, HI => $hi);
                (my $there = $sql) =~ s/\b(S|LO|HI)\b/$word{$1}/g;
                ("$there;", q(SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)');))
            } [ 0, $some - 1 ], [ $some, $rows - 1 ]);
            $size{$schema} = int(($end - $start) / 1024);
        }
        my $more = $size{im} - $size{plain};
        diag("$rows $name: the process grows by $size{im} MB, without triggers by $size{plain} MB");
        push @too_much, "$name: $more MB" if $more > $bound;
    }
    is("@too_much", '', "a statement of very many rows takes no more than $bound MB beside what the server itself needs");
    is($node->safe_psql('chat', q(SELECT count(*) FROM hermet.check_consistency('im'))), 0, 'very many rows: the check finds nothing');
}

$node->restart;
is_clean($node, 'chat', 'im', 'after a restart') unless $full_size;
no_crash($node);
$node->stop;
done_testing();
