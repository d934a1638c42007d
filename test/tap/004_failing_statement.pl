# A statement of the maintenance fails in the middle: on a constraint, a trigger or an index that the
# owner put on the read side, or because the disk is full. Then the application's write fails as a whole,
# with the standard error, nothing is left of it, and everybody else goes on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

# Small WAL segments, as the full disk below is a limit on the size of every file.
my $node = new_server('main', "autovacuum = off\n", extra => ['--wal-segsize=1']);
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

# User 5 is the victim: what concerns a row of his fails, while rows of others before it are written.
# Each write touches his row and others' rows; those in the second list remove his row only.
my %writes = (
    'a message' => q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (50001, 2, 1, 'x')),
    'messages to many channels' => q(
        INSERT INTO im.message (id, channel_id, sender_id, content) SELECT 50100 + c, c, 1, 'x' FROM generate_series(1, 29) c),
    'an edit' => q(UPDATE im.message SET content = 'edited' WHERE id = (SELECT last_message_id FROM im.channel WHERE id = 2)),
    'a recall' => q(UPDATE im.message SET deleted_at = 1 WHERE channel_id = 2 AND deleted_at = 0),
    'a removal' => q(DELETE FROM im.message WHERE channel_id = 2),
    'a move' => q(UPDATE im.message SET channel_id = 4 WHERE channel_id = 2),
    'no messages any more' => q(TRUNCATE im.message),
    'a new name of a group' => q(UPDATE im.channel SET channel_name = 'renamed' WHERE id = 2),
    'members of a single chat' => q(UPDATE im.channel_member SET joined_at = joined_at + 1 WHERE channel_id = 105),
    'a single chat\'s messages' => q(UPDATE im.message SET content = 'edited' WHERE channel_id = 105),
    'read marks' => q(UPDATE im.channel_read_record SET last_read_message_id = last_read_message_id + 100),
    'no read marks any more' => q(TRUNCATE im.channel_read_record),
    'settings' => q(UPDATE im.conversation_setting SET is_muted = NOT is_muted),
    'friendships' => q(UPDATE im.friendship SET remark_name = 'new'),
    'names' => q(UPDATE im.biz_user SET nickname = nickname || '!'),
    'a change of everything' => q(
        WITH a AS (UPDATE im.channel SET channel_avatar = 'new.png' RETURNING 1),
             b AS (INSERT INTO im.message (id, channel_id, sender_id) SELECT 50200 + c, c, 2 FROM generate_series(1, 29) c RETURNING 1),
             c AS (UPDATE im.channel_member SET nickname = 'n' RETURNING 1)
        UPDATE im.biz_user SET avatar = 'new.png'),
);
my %removals = (
    'everybody leaves' => q(UPDATE im.channel_member SET left_at = 1 WHERE channel_id = 2),
    'everybody is removed' => q(DELETE FROM im.channel_member WHERE channel_id = 2),
    'an archived channel' => q(UPDATE im.channel SET channel_status = 'archived' WHERE id = 2),
    'a removed channel' => q(DELETE FROM im.channel WHERE id = 2),
    'friendships end' => q(UPDATE im.friendship SET deleted_at = 1),
    'no friendships any more' => q(TRUNCATE im.friendship),
    'no members any more' => q(TRUNCATE im.channel_member),
);

# The victim of a session's statements is a setting of that session.
my $victim = q(current_setting('own.victim', true));
my %obstacles = (
    'a CHECK constraint' => [ '23514', q(
        ALTER TABLE im.user_conversation_view ADD CONSTRAINT own_check CHECK (user_id::text IS DISTINCT FROM VICTIM);
        ALTER TABLE im.user_contact_view ADD CONSTRAINT own_check CHECK (user_id::text IS DISTINCT FROM VICTIM);), q(
        ALTER TABLE im.user_conversation_view DROP CONSTRAINT own_check;
        ALTER TABLE im.user_contact_view DROP CONSTRAINT own_check;) ],
    'a row trigger' => [ 'OWN01', q(
        CREATE FUNCTION testing.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF coalesce(new.user_id, old.user_id)::text = VICTIM THEN
                RAISE 'not this one' USING ERRCODE = 'OWN01';
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER own_trigger AFTER INSERT OR UPDATE OR DELETE ON im.user_conversation_view
            FOR EACH ROW EXECUTE FUNCTION testing.refuse();
        CREATE TRIGGER own_trigger AFTER INSERT OR UPDATE OR DELETE ON im.user_contact_view
            FOR EACH ROW EXECUTE FUNCTION testing.refuse();), q(
        DROP FUNCTION testing.refuse() CASCADE;) ],
    'an expression index' => [ '22012', q(
        CREATE FUNCTION testing.spoil(user_id bigint, VARIADIC of text[]) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
        BEGIN
            RETURN 1 / CASE WHEN user_id::text = VICTIM THEN 0 ELSE 1 END;
        END $$;
        CREATE INDEX own_index ON im.user_conversation_view (testing.spoil(user_id, last_message_id::text,
            last_message_content, last_message_sender_name, conversation_name, conversation_avatar, is_muted::text,
            last_read_message_id::text, unread_count::text, opened_at::text));
        CREATE INDEX own_index2 ON im.user_contact_view (testing.spoil(user_id, contact_nickname, contact_avatar, remark_name));), q(
        DROP FUNCTION testing.spoil CASCADE;) ],
);
for my $obstacle (values %obstacles) {
    s/VICTIM/$victim/g for @$obstacle;
}

my $before = rows($node, 'chat', 'im');
for my $name (sort keys %obstacles) {
    my ($sqlstate, $put, $remove) = @{ $obstacles{$name} };
    $node->safe_psql('chat', $put);
    my %all = $name eq 'a row trigger' ? (%writes, %removals) : %writes;
    my @names = sort keys %all;
    # Twice each: at once, and under a savepoint within a transaction that goes on and is undone.
    my ($states, $out) = sqlstates($node, 'chat', "SET own.victim = '5';\n" . join "\n", map {
        qq($all{$_};
           BEGIN;
           INSERT INTO im.message (id, channel_id, sender_id) VALUES (59999, 117, 17);
           SAVEPOINT s;
           $all{$_};
           ROLLBACK TO s;
           SELECT count(*) FROM im.user_conversation_view WHERE last_message_id = 59999;
           ROLLBACK;)
    } @names);
    is_deeply($states, [ ($sqlstate) x (2 * @names) ], "$name: every write fails with $sqlstate") or diag(join ', ', @names);
    is($out, join("\n", (2) x @names), "$name: and the transaction goes on with what it had");
    ok(rows($node, 'chat', 'im') eq $before, "$name: nothing is left of any");
    is_clean($node, 'chat', 'im', $name);

    # Repair is a write like others: all or nothing.
    $node->safe_psql('chat', q(SELECT testing.plant('UPDATE im.user_conversation_view SET unread_count = unread_count + 1;
        UPDATE im.user_contact_view SET contact_nickname = ''nobody''; DELETE FROM im.contact_reverse_index')));
    my $drifted = rows($node, 'chat', 'im');
    is(scalar sqlstates($node, 'chat', q(SET own.victim = '5'; SELECT hermet.repair('im');
        SELECT hermet.repair_conversation_view(5, 'im'); SELECT hermet.repair_channel(2, 'im');
        SELECT hermet.repair_contact_view(5, 'im'); SELECT hermet.upgrade('im'))),
        join(' ', ($sqlstate) x 5), "$name: so does every repair");
    ok(rows($node, 'chat', 'im') eq $drifted, "$name: and repairs nothing");
    $node->safe_psql('chat', q(SELECT hermet.repair('im')));
    is_clean($node, 'chat', 'im', "$name: a repair without a victim");

    # Those who wait for the one that fails go on as if it had not been.
    my ($fails, $waits) = (background($node, 'chat'), background($node, 'chat'));
    my $pid = $waits->query('SELECT pg_backend_pid()');
    $fails->query(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (50300, 1, 1)));
    $waits->{stdin} .= "INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (50301, 1, 1, 'waited');\n";
    $waits->{run}->pump_nb;
    ok(wait_until_blocked($node, $pid), "$name: another session waits for the channel");
    $fails->query(q(SET own.victim = '5'; INSERT INTO im.message (id, channel_id, sender_id) VALUES (50302, 2, 1)));
    like($fails->{stderr}, qr/ERROR:  $sqlstate/, "$name: the transaction fails");
    $fails->{stderr} = '';
    $fails->query('ROLLBACK');
    is($waits->query('SELECT DISTINCT last_message_content FROM im.user_conversation_view WHERE channel_id = 1'),
        'waited', "$name: and the other session's message arrives");
    is_clean($node, 'chat', 'im', "$name: after the wait");
    $waits->query('DELETE FROM im.message WHERE id = 50301');
    $fails->quit;
    $waits->quit;

    $node->safe_psql('chat', $remove);
    $before = rows($node, 'chat', 'im');
}

# The owner's own unique index: no two inboxes may show this text.
$node->safe_psql('chat', q(
    CREATE UNIQUE INDEX own_unique ON im.user_conversation_view (user_id) WHERE last_message_content = 'only once'));
is(scalar sqlstates($node, 'chat', q(
        INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (50401, 2, 1, 'only once');
        INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (50402, 1, 1, 'only once');
        INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (50403, 1, 1, 'something else');
        UPDATE im.message SET content = 'only once' WHERE id = 50403;
        UPDATE im.message SET deleted_at = 1 WHERE id = 50401;
        UPDATE im.message SET content = 'only once' WHERE id = 50403;)),
    '23505 23505', 'a unique index of the owner: what violates it fails, until it does no more');
is($node->safe_psql('chat', q(SELECT DISTINCT channel_id FROM im.user_conversation_view WHERE last_message_content = 'only once')),
    1, 'the text is where it may be');
is_clean($node, 'chat', 'im', 'a unique index of the owner');
$node->safe_psql('chat', 'DROP INDEX im.own_unique');

# A full disk is, for one process, a file that cannot grow: the view's rows become too long for their pages.
SKIP: {
    my ($help) = run_command([ 'sh', '-c', 'prlimit --version || true' ]);
    skip 'there is no prlimit to limit the size of files with', 8 unless $help =~ /util-linux/;
    skip 'no partition is larger than a WAL segment, whose files would be limited, too', 8 if $ENV{SHARDS};

    $node->safe_psql('chat', q(
        INSERT INTO im.channel (id, channel_type) VALUES (500, 'group');
        INSERT INTO im.channel_member (id, channel_id, user_id, joined_at) SELECT 600000 + u, 500, u, 1 FROM generate_series(1, 5000) u;
        CHECKPOINT;));
    my $session = background($node, 'chat');
    my ($pid, $file) = split /\|/, $session->query(
        q(SELECT pg_backend_pid(), current_setting('data_directory') || '/' || pg_relation_filepath('im.user_conversation_view')));
    my $size = -s $file;
    cmp_ok($size, '>', 1 << 20, 'the view is larger than a WAL segment');
    my $full = rows($node, 'chat', 'im');
    my $send = q(INSERT INTO im.message (id, channel_id, sender_id, content)
                 SELECT 50501, 500, 1, string_agg(md5(i::text), '') FROM generate_series(1, 20) i);
    my $limit = $size + 4096;
    system_or_bail('prlimit', "--pid=$pid", "--fsize=$limit:");
    $session->query($send);
    like($session->{stderr}, qr/ERROR:  53100/, 'a message for which there is no room on the disk: 53100');
    $session->{stderr} = '';
    is($session->query('SELECT 1'), 1, 'the session lives');
    ok(rows($node, 'chat', 'im') eq $full, 'nothing is left of the message');
    is_clean($node, 'chat', 'im', 'the disk is full');
    is(scalar sqlstates($node, 'chat', q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (50502, 500, 1);
                                         INSERT INTO im.message (id, channel_id, sender_id) VALUES (50503, 2, 1))),
        '', 'others go on');
    system_or_bail('prlimit', "--pid=$pid", '--fsize=unlimited:');
    $session->query_safe(q(INSERT INTO im.message (id, channel_id, sender_id, content)
                           SELECT 50504, 500, 1, string_agg(md5(i::text), '') FROM generate_series(1, 20) i));
    is($session->query('SELECT count(*) FROM im.user_conversation_view WHERE last_message_id = 50504'),
        5000, 'with room again, the message arrives in the same session');
    is_clean($node, 'chat', 'im', 'there is room again');
    $session->quit;
}

# Temporary files may be used up, too: of a large statement's transition table, or of the maintenance.
is(scalar sqlstates($node, 'chat', q(
        SET work_mem = '64kB'; SET temp_file_limit = '64kB';
        INSERT INTO im.message (id, channel_id, sender_id, content)
        SELECT 51000 + i, i % 29 + 1, 1, repeat('x', 200) FROM generate_series(1, 5000) i;)),
    '53400', 'no room for temporary files: 53400');
is_clean($node, 'chat', 'im', 'no room for temporary files');

$node->restart;
is_clean($node, 'chat', 'im', 'after a restart');
no_crash($node);
$node->stop;
done_testing();
