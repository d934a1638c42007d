# Prepared transactions keep their locks over restarts, so that whatever comes of them, and whoever
# writes meanwhile, the read side is right.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main');
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

sub inbox {
    my ($channel) = @_;
    return $node->safe_psql('chat', qq(
        SELECT user_id, conversation_name, last_message_id, unread_count, mention_count
          FROM im.user_conversation_view WHERE channel_id = $channel ORDER BY 1));
}

# A send, with a savepoint undone and one kept; a join; a rename.
$node->safe_psql('chat', q(
    BEGIN;
    INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (30001, 1, 1, 'first');
    SAVEPOINT a;
    INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (30002, 1, 1, 'never');
    ROLLBACK TO a;
    SAVEPOINT b;
    INSERT INTO im.message (id, channel_id, sender_id, content, mention_all) VALUES (30003, 1, 2, 'second', true);
    RELEASE b;
    PREPARE TRANSACTION 'sends';

    BEGIN;
    INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (40001, 2, 3);
    PREPARE TRANSACTION 'joins';

    BEGIN;
    UPDATE im.biz_user SET nickname = 'renamed' WHERE id = 5;
    PREPARE TRANSACTION 'renames';

    BEGIN;
    INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (30004, 3, 1, 'taken back');
    PREPARE TRANSACTION 'is undone';
));

my %writes = (
    sends => q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (30010, 1, 4)),
    joins => q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (30011, 2, 4)),
    renames => q(UPDATE im.biz_user SET nickname = 'other' WHERE id = 5),
    'is undone' => q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (30012, 3, 4)),
);

sub all_wait {
    my ($when) = @_;
    for my $name (sort keys %writes) {
        # The lock is held for certain, so the shortest patience is enough to see it.
        sql_fails($node, 'chat', "SET lock_timeout = '1ms'; $writes{$name}", '55P03',
            "$when, a write against what '$name' holds");
    }
    is($node->safe_psql('chat', q(SELECT string_agg(gid, ', ' ORDER BY gid) FROM pg_prepared_xacts)),
        'is undone, joins, renames, sends', "$when: all are prepared");
    is($node->safe_psql('chat', q(SELECT string_agg(gid, ', ' ORDER BY gid) FROM hermet.prepared_transactions('im'))),
        'is undone, joins, renames, sends', "$when: and hermet sees that they have written the instance");
    cmp_ok($node->safe_psql('chat', q(
            SELECT count(DISTINCT virtualtransaction) FROM pg_locks WHERE locktype = 'userlock' AND pid IS NULL)),
        '>=', 3, "$when: their locks are held");
    # Others are not in the way.
    $node->safe_psql('chat', q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (hermet.next_id(), 4, 4)));
    is_clean($node, 'chat', 'im', $when);
    return;
}

all_wait('prepared');
$node->restart;
all_wait('after a restart');
$node->stop('immediate');
$node->start;
all_wait('after a crash');

my ($one, $three) = (inbox(1), inbox(3));
$node->safe_psql('chat', q(COMMIT PREPARED 'sends'));
isnt(inbox(1), $one, 'what was sent arrives with COMMIT PREPARED');
is($node->safe_psql('chat', q(
        SELECT DISTINCT last_message_id, last_message_content FROM im.user_conversation_view WHERE channel_id = 1)),
    '30003|second', 'the last message is the one kept');
is_clean($node, 'chat', 'im', 'after COMMIT PREPARED of a send');

$node->safe_psql('chat', q(COMMIT PREPARED 'joins'));
is($node->safe_psql('chat', 'SELECT count(*) FROM im.user_conversation_view WHERE channel_id = 2 AND user_id = 3'),
    1, 'the newcomer has the conversation');
$node->safe_psql('chat', q(COMMIT PREPARED 'renames'));
is($node->safe_psql('chat', 'SELECT DISTINCT contact_nickname FROM im.user_contact_view WHERE contact_id = 5'),
    'renamed', 'the name arrives in address books');
is_clean($node, 'chat', 'im', 'after COMMIT PREPARED of the others');

$node->safe_psql('chat', q(ROLLBACK PREPARED 'is undone'));
is(inbox(3), $three, 'ROLLBACK PREPARED leaves nothing');
is_clean($node, 'chat', 'im', 'after ROLLBACK PREPARED');

for my $name (sort keys %writes) {
    $node->safe_psql('chat', $writes{$name});
    pass("the write against what '$name' held goes through");
}
is_clean($node, 'chat', 'im', 'at the end');

$node->stop;
done_testing();
