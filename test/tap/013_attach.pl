# Attaching a populated write side: progress is told, the read side is right, memory does not grow with the tables.
# HERMET_FULL_SIZE=1: a million memberships and a million messages.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $rows = $ENV{HERMET_FULL_SIZE} ? 1_000_000 : 240_000;
# 100,000 rows, then as many as all before together.
my $ranges = $ENV{HERMET_FULL_SIZE} ? 5 : 3;
my $node = new_server('main', q(
    shared_buffers = '64MB'
    jit = off
));
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
# The rules written a second time have no statistics, either, and partitions mislead the planner as they do hermet's.
$node->safe_psql('chat', 'ALTER FUNCTION testing.clean SET join_collapse_limit = 1;
    ALTER FUNCTION testing.clean SET enable_nestloop = off; ALTER FUNCTION testing.clean SET enable_mergejoin = off');

# The write side of a deployment without hermet. Half of the memberships are in groups of 20, half in single chats.
my $users = $rows / 20;
$node->safe_psql('chat', qq(
    SELECT hermet.detach('im');
    DO \$\$ DECLARE t text; BEGIN
      FOR t IN SELECT table_name FROM hermet.catalog_tables() WHERE side <> 'write' LOOP EXECUTE format('DROP TABLE im.%I', t); END LOOP;
    END \$\$;
    ALTER TABLE im.channel DROP last_message_id;
    INSERT INTO im.biz_user (id, nickname) SELECT u, 'user ' || u FROM generate_series(1, $users) u;
    INSERT INTO im.channel (id, channel_type, channel_name)
    SELECT c, 'group'::im.channel_type_enum, 'group ' || c FROM generate_series(1, $rows / 40) c UNION ALL
    SELECT 10000000 + c, 'single', '' FROM generate_series(1, $rows / 4) c;
    INSERT INTO im.channel_member (id, channel_id, user_id, joined_at)
    SELECT c * 20 + j, c, (c * 7 + j * 131) % $users + 1, 1 FROM generate_series(1, $rows / 40) c, generate_series(0, 19) j UNION ALL
    SELECT 100000000 + c * 2 + j, 10000000 + c, (c + j * (1 + c % 97)) % $users + 1, 1 FROM generate_series(1, $rows / 4) c, generate_series(0, 1) j;
    INSERT INTO im.message (id, channel_id, sender_id, content, sent_at)
    SELECT m, CASE m % 2 WHEN 0 THEN m % ($rows / 40) + 1 ELSE 10000000 + m % ($rows / 4) + 1 END, m % $users + 1, 'message ' || m, m FROM generate_series(1, $rows) m;
    INSERT INTO im.friendship (id, user_id, friend_id, remark_name)
    SELECT f, f % $users + 1, (f * 7 + f / $users) % $users + 1, CASE f % 5 WHEN 0 THEN 'friend' ELSE '' END FROM generate_series(1, $rows) f ON CONFLICT DO NOTHING;
    INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id)
    SELECT id, user_id, channel_id, id % $rows FROM im.channel_member WHERE id % 2 = 0;));

my ($status, $out, $notices) = $node->psql('chat', q(
    SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)');
    SELECT hermet.attach('im');
    SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)');));
is($status, 0, 'attached');
note $notices;
my @phases = $notices =~ /attach "im", (\d of 3): /g;
is("@phases", '1 of 3 2 of 3 3 of 3', 'each phase is told');
my @filled = $notices =~ /filling "user_conversation_view": \d+ rows from (\d+)$/mg;
is(scalar @filled, $ranges, 'and each range of rows');
is($filled[-1], $node->safe_psql('chat', 'SELECT count(*) FROM im.channel_member'), 'up to the last membership');
my @contacts = $notices =~ /filling "user_contact_view": \d+ rows from (\d+)$/mg;
is($contacts[-1], $node->safe_psql('chat', 'SELECT count(*) FROM im.friendship'), 'and the last friendship');
like($notices, qr/attached "im" \([\d.]+ s\): user_conversation_view \d+, /, 'and what was made');
my ($start, $end) = $out =~ /(\d+)/g;
SKIP: {
    skip 'the size of a process is read from /proc', 1 unless $end;
    note int(($end - $start) / 1024), ' MB';
    # Its buffers, what sorting and hashing may take, and the keys of channels.
    cmp_ok($end - $start, '<', 1024 * (64 + 40 + 100 * $rows / 1_000_000), 'memory does not grow with the tables');
}
is_clean($node, 'chat', 'im', 'attached');
is(health($node, 'chat', 'im'), '', 'healthy');

# Cancelled in the middle it has done nothing, and goes through the next time.
$node->safe_psql('chat', q(
    SELECT hermet.detach('im');
    UPDATE im.channel SET last_message_id = 0 WHERE id = 1;
    TRUNCATE im.user_conversation_view, im.conversation_reverse_index, im.user_contact_view, im.contact_reverse_index;));
my $session = background($node, 'chat');
$session->query('\set VERBOSITY default');
my $pid = $session->query('SELECT pg_backend_pid()');
my $holder = background($node, 'chat');
my $holder_pid = $holder->query('SELECT pg_backend_pid()');
# It needs this row when it fills.
$holder->query_safe('BEGIN; SELECT FROM im.channel WHERE id = 1 FOR UPDATE');
$session->{stdin} .= "SELECT hermet.attach('im');\n";
$session->{run}->pump_nb;
wait_until_blocked($node, $pid, $holder_pid);
$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
my $usable = $session->query("SELECT 'usable'");
like($session->{stderr}, qr/2 of 3(?!.*3 of 3).*ERROR:  canceling statement/s, 'attach can be cancelled');
$holder->query_safe('ROLLBACK');
$session->quit;
$holder->quit;
is($node->safe_psql('chat', q(SELECT count(*) FROM hermet.instances())), 0, 'and leaves no instance');
is($node->safe_psql('chat', q(SELECT count(*) FROM im.user_conversation_view)), 0, 'and no row');
$node->safe_psql('chat', q(SELECT hermet.attach('im')));
is_clean($node, 'chat', 'im', 'attached again');

$node->stop;
no_crash($node);
done_testing();
