# Writes that go around the triggers (a replica's role, disabled triggers, a superuser's hand on the read side), while
# others write: hermet.health() says what made them possible, the check names every row and column, and nothing
# else, and repair mends exactly that.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || time;
note "SEED=$seed";
my $node = new_server('main', "deadlock_timeout = '100ms'\n");
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');
my $load = start_load($node, 'chat', 'im', 3, $seed);

# What is wrong, without the values: table, key, kind, column.
my $check = q(SELECT table_name, key, problem, column_name FROM hermet.check_consistency('im')
               ORDER BY table_name, key::text, column_name COLLATE "C");

sub rows_repaired {
    my ($sql) = @_;
    return retried($node, 'chat', "SELECT table_name, inserted, updated, deleted FROM $sql"
          . ' WHERE inserted + updated + deleted > 0 ORDER BY 1');
}

sub around {
    my ($how, $expected, $repaired, $repair) = @_;
    load_goes_on($load);
    is($node->safe_psql('chat', $check), $expected, "$how: the check names what is wrong, and nothing else");
    like(health($node, 'chat', 'im'), qr/^last check found problems\|/m, "$how: health says that the check found something");
    load_goes_on($load);
    is(rows_repaired($repair || q(hermet.repair('im'))), $repaired, "$how: repair mends as much");
    is_clean($node, 'chat', 'im', "$how, repaired");
    return is(health($node, 'chat', 'im'), '', "$how, repaired: healthy");
}

sub conversation {
    my ($user, $channel, $problem, @columns) = @_;
    return join "\n", map { qq(user_conversation_view|{"user_id": $user, "channel_id": $channel}|$problem|$_) } @columns ? @columns : '';
}

sub contact {
    my ($user, $contact, $problem, @columns) = @_;
    return join "\n", map { qq(user_contact_view|{"user_id": $user, "contact_id": $contact}|$problem|$_) } @columns ? @columns : '';
}

# The read side, by hand. Without switching the triggers off, not even a superuser can.
my $wrong = q(
    UPDATE im.user_conversation_view SET unread_count = unread_count + 7, is_pinned = NOT is_pinned WHERE user_id = 16 AND channel_id = 22;
    DELETE FROM im.user_conversation_view WHERE user_id = 17 AND channel_id = 22;
    UPDATE im.user_contact_view SET mobile = '0' WHERE user_id = 15 AND contact_id = 16;
    DELETE FROM im.contact_reverse_index WHERE contact_user_id = 17 AND owner_user_id = 16;
    INSERT INTO im.conversation_reverse_index VALUES (1, 15, 22, 1);
    UPDATE im.channel SET channel_member_count = 99 WHERE id = 24;);
is(scalar sqlstates($node, 'chat', $wrong), join(' ', ('42809') x 5), 'the read side by hand is refused');
is_clean($node, 'chat', 'im', 'refused');
my $expected = join "\n", 'channel|{"id": 24}|stale|channel_member_count',
  'contact_reverse_index|{"owner_user_id": 16, "contact_user_id": 17}|missing|',
  'conversation_reverse_index|{"channel_id": 22, "peer_user_id": 1, "owner_user_id": 15}|unexpected|',
  contact(15, 16, 'stale', 'mobile'),
  conversation(16, 22, 'stale', qw(is_pinned unread_count)),
  conversation(17, 22, 'missing');
my $repaired = join "\n", 'channel|0|1|0', 'contact_reverse_index|1|0|0', 'conversation_reverse_index|0|0|1',
  'user_contact_view|0|1|0', 'user_conversation_view|1|1|0';

is($node->safe_psql('chat', q(SET session_replication_role = replica; SELECT problem, object FROM hermet.health('im'))),
    'triggers switched off|this session', 'health in a session with a replica\'s role says so');
$node->safe_psql('chat', "SET session_replication_role = replica; $wrong");
around('by hand in a replica\'s role', $expected, $repaired);

retried($node, 'chat', join "\n", 'BEGIN;', (map { "ALTER TABLE im.$_ DISABLE TRIGGER hermet_guard;" }
      qw(user_conversation_view user_contact_view contact_reverse_index conversation_reverse_index)),
    'ALTER TABLE im.channel DISABLE TRIGGER zzz_hermet_complete;', 'COMMIT;');
is(health($node, 'chat', 'im'), join("\n", map { "trigger disabled|im.$_" } qw(channel.zzz_hermet_complete
          contact_reverse_index.hermet_guard conversation_reverse_index.hermet_guard user_contact_view.hermet_guard
          user_conversation_view.hermet_guard)),
    'health reports every disabled guard');
$node->safe_psql('chat', $wrong);
retried($node, 'chat', join "\n", (map { "ALTER TABLE im.$_ ENABLE TRIGGER hermet_guard;" }
      qw(user_conversation_view user_contact_view contact_reverse_index conversation_reverse_index)),
    'ALTER TABLE im.channel ENABLE TRIGGER zzz_hermet_complete;');
around('by hand with the guards disabled', $expected, $repaired);

# Only what is asked for is repaired.
$node->safe_psql('chat', "SET session_replication_role = replica; $wrong");
is(rows_repaired(q(hermet.repair_conversation_view(16, 'im'))), 'user_conversation_view|0|1|0', 'one inbox');
is(rows_repaired(q(hermet.repair_contact_view(16, 'im'))), 'contact_reverse_index|1|0|0', 'the contacts of one user');
is(rows_repaired(q(hermet.repair_channel(22, 'im'))), "conversation_reverse_index|0|0|1\nuser_conversation_view|1|0|0", 'one channel');
around('the rest', join("\n", 'channel|{"id": 24}|stale|channel_member_count', contact(15, 16, 'stale', 'mobile')),
    "channel|0|1|0\nuser_contact_view|0|1|0");

# The write side in a replica's role, as logical replication and some loaders write.
my $unseen = q(
    INSERT INTO im.message (id, channel_id, sender_id, content, sent_at) VALUES (80001, 22, 16, 'unseen', 9999);
    UPDATE im.biz_user SET mobile = '+99' WHERE id = 18;
    INSERT INTO im.friendship (id, user_id, friend_id) VALUES (80001, 20, 12);
    DELETE FROM im.friendship WHERE user_id = 11 AND friend_id = 12;
    UPDATE im.channel_member SET left_at = 1 WHERE user_id = 19 AND channel_id = 26;
    INSERT INTO im.conversation_setting (user_id, channel_id, is_hidden) VALUES (14, 28, true)
        ON CONFLICT (user_id, channel_id) DO UPDATE SET is_hidden = NOT im.conversation_setting.is_hidden;);
my $others = $node->safe_psql('chat', q(SELECT string_agg(user_id::text, ' ' ORDER BY user_id::text COLLATE "C")
    FROM im.user_conversation_view WHERE channel_id = 22));
my %told;
$told{$_} = $_ for split / /, $others;
my $sent = join "\n", sort { $a cmp $b } map {
    conversation($_, 22, 'stale', qw(last_message_content last_message_id last_message_sender_id last_message_sender_name
          last_message_time), $_ == 16 ? () : 'unread_count')
} keys %told;
$node->safe_psql('chat', "SET session_replication_role = replica; $unseen");
load_goes_on($load);
my @found = split /\n/, $node->safe_psql('chat', $check);
my @elsewhere = grep { !/"channel_id": 22\}/ } @found;
is(join("\n", @elsewhere), join("\n",
        'channel|{"id": 22}|stale|last_message_at', 'channel|{"id": 22}|stale|last_message_id',
        'channel|{"id": 26}|stale|channel_member_count',
        'contact_reverse_index|{"owner_user_id": 11, "contact_user_id": 12}|unexpected|',
        'contact_reverse_index|{"owner_user_id": 20, "contact_user_id": 12}|missing|',
        contact(11, 12, 'unexpected'), contact(17, 18, 'stale', 'mobile'), contact(19, 18, 'stale', 'mobile'),
        contact(20, 12, 'missing'), conversation(14, 28, 'stale', 'is_hidden'), conversation(19, 26, 'unexpected')),
    'the write side in a replica\'s role: the check names what is wrong');
my %seen = map { $_ => 1 } map { /"user_id": (\d+), "channel_id": 22\}\|stale\|last_message_id$/ ? $1 : () } @found;
is(join(' ', sort keys %seen), $others, 'the write side in a replica\'s role: every member of the channel lacks the message');
# What comes later through the triggers stands on what is right, not on what is stored: they meet a drifted channel.
$node->safe_psql('chat', q(INSERT INTO im.message (id, channel_id, sender_id, sent_at) VALUES (80002, 22, 16, 10000)));
retried($node, 'chat', q(SELECT hermet.repair('im')));
is_clean($node, 'chat', 'im', 'the write side in a replica\'s role, repaired');
is(health($node, 'chat', 'im'), '', 'the write side in a replica\'s role, repaired: healthy');

# A delta that cannot be right: the row was set back by hand, then its messages are recalled.
$node->safe_psql('chat', q(SET session_replication_role = replica;
    UPDATE im.user_conversation_view SET unread_count = 0, mention_count = 0 WHERE channel_id = 22;));
$node->safe_psql('chat', q(UPDATE im.message SET deleted_at = 1 WHERE channel_id = 22 AND deleted_at = 0));
like(health($node, 'chat', 'im'), qr/^rows were recomputed\|im.hermet_incident$/m, 'counters that cannot go down are recomputed, and health says so');
retried($node, 'chat', q(SELECT hermet.repair('im')));
is_clean($node, 'chat', 'im', 'counters recomputed');
is(health($node, 'chat', 'im'), '', 'counters recomputed, repaired: healthy');

# Switched off for a role, or for a whole database: said before anything has drifted.
$node->safe_psql('chat', q(CREATE ROLE regress_loader; ALTER ROLE regress_loader SET session_replication_role = replica));
is(health($node, 'chat', 'im'), 'triggers switched off|role regress_loader', 'switched off for a role');
$node->safe_psql('chat', 'DROP ROLE regress_loader');
# A grant on the read side lets nobody past the guard, and is reported all the same.
$node->safe_psql('chat', q(CREATE ROLE regress_app LOGIN; GRANT USAGE ON SCHEMA im TO regress_app; GRANT UPDATE, SELECT ON im.user_conversation_view TO regress_app));
is(health($node, 'chat', 'im'), 'direct writes allowed|im.user_conversation_view', 'a grant on the read side');
is(scalar sqlstates($node, 'chat', 'SET ROLE regress_app; UPDATE im.user_conversation_view SET unread_count = 0'), '42809', 'a grant on the read side: refused all the same');
$node->safe_psql('chat', 'DROP OWNED BY regress_app; DROP ROLE regress_app');

# All triggers of all tables disabled, as pg_restore --disable-triggers does, while others write: everybody's
# writes drift, and upgrade() puts all of it right at once.
my $all = $node->safe_psql('chat', q(SELECT string_agg(format('ALTER TABLE im.%I DISABLE TRIGGER ALL', relname), ';')
    FROM pg_class WHERE relnamespace = 'im'::regnamespace AND relkind IN ('r', 'p')));
retried($node, 'chat', $all);
load_goes_on($load);
$node->safe_psql('chat', 'INSERT INTO im.message (id, channel_id, sender_id) VALUES (80100, 25, 19)');
is($node->safe_psql('chat', q(SELECT count(*), bool_and(problem = 'trigger disabled') FROM hermet.health('im')
        WHERE problem NOT IN ('last check found problems', 'rows were recomputed'))),
    $node->safe_psql('chat', q(SELECT count(*), true FROM hermet.wanted_triggers('im', false) WHERE NOT is_clone)), 'every disabled trigger is reported');
cmp_ok($node->safe_psql('chat', q(SELECT count(*) FROM hermet.check_consistency('im'))), '>', 0, 'and what it led to');
retried($node, 'chat', q(SELECT hermet.upgrade('im')));
is_clean($node, 'chat', 'im', 'all triggers made anew');
is(health($node, 'chat', 'im'), '', 'all triggers made anew: healthy');

my $failed = stop_load($load);
my @unexpected = grep { $_ ne '40P01' } sort keys %$failed;
is("@unexpected", '', 'those who wrote meanwhile noticed nothing, but a deadlock with DDL');
is_clean($node, 'chat', 'im', 'at the end');
is(health($node, 'chat', 'im'), '', 'healthy at the end');
no_crash($node);
$node->stop;
done_testing();
