# Preloaded, all sessions of a database count together, and what they counted outlives them; databases count
# apart; a server that crashed counts from 0.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', <<"CONF", allows_streaming => 1);
shared_preload_libraries = '$ENV{HERMET_LIBRARY}'
hermet.metrics_databases = 2
restart_after_crash = on
CONF
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

sub value {
    my ($database, $name, $labels) = @_;
    return $node->safe_psql($database, "SELECT coalesce(sum(value), 0) FROM hermet.metrics() WHERE name = '$name'"
          . ' AND labels @> ' . ($labels ? "'$labels'" : "'{}'"));
}

sub messages { return value(shift, 'hermet_sync_latency_seconds_count', '{"source": "message"}'); }

sub send_message {
    my ($channel) = @_;
    return "INSERT INTO im.message (id, channel_id, sender_id) VALUES (nextval('testing.sent'), $channel, 1);";
}

$node->safe_psql('chat', 'CREATE SEQUENCE testing.sent START 1000000');
is(value('chat', 'hermet_metrics_shared'), 1, 'the counters are shared');

# Sessions, one after the other and at once.
my $before = messages('chat');
cmp_ok($before, '>', 0, 'what sessions did that are gone by now is counted');
my ($one, $two) = (background($node, 'chat'), background($node, 'chat'));
$one->query_safe(send_message(1)) for 1 .. 3;
$two->query_safe(send_message(2)) for 1 .. 4;
is(messages('chat'), $before + 7, 'two sessions add to one counter');
$one->quit;
is(messages('chat'), $before + 7, 'a session that ends leaves what it counted');
$node->safe_psql('chat', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity'
      . " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
eval { $two->quit };
is(messages('chat'), $before + 7, 'and so does one that is terminated');

my $script = $node->basedir . '/send.sql';
append_to_file($script, "\\set c random(1, 29)\n" . send_message(':c') . "\n");
$before = messages('chat');
$node->command_ok(
    [ 'pgbench', '--no-vacuum', '--client=4', '--transactions=250', '-f', $script, $node->connstr('chat') ],
    'four clients send a thousand messages');
is(messages('chat'), $before + 1000, 'not one of them was lost');
is(value('chat', 'hermet_fanout_rows_count'), messages('chat'), 'each has a fan-out');

# Waits: for a channel's row, and for a key.
sub waits { return value('chat', 'hermet_lock_waits_total', qq({"lock": "$_[0]"})); }

sub while_blocked {
    my ($lock, $blocker, $waiter) = @_;
    my ($first, $second) = (background($node, 'chat'), background($node, 'chat'));
    my $pid = $second->query_safe('SELECT pg_backend_pid()');
    my $count = waits($lock);
    my $seconds = value('chat', 'hermet_lock_wait_seconds_total', qq({"lock": "$lock"}));
    $first->query_safe("BEGIN; $blocker");
    is(waits($lock), $count, "$lock: no wait where nobody waits");
    $second->query_until(qr/sent/, "\\echo sent\n$waiter\n");
    wait_until_blocked($node, $pid);
    is(waits($lock), $count, "$lock: a wait is counted when it is over");
    $first->query_safe('COMMIT');
    $second->query_safe('SELECT 1');
    is(waits($lock), $count + 1, "$lock: one wait");
    cmp_ok(value('chat', 'hermet_lock_wait_seconds_total', qq({"lock": "$lock"})), '>', $seconds,
        "$lock: it took time");
    $_->quit for $first, $second;
    return;
}
while_blocked('channel_row', send_message(1), send_message(1));
while_blocked('channel', 'UPDATE im.conversation_setting SET is_muted = NOT is_muted WHERE (user_id, channel_id)'
      . ' = (SELECT min(user_id), 5 FROM im.conversation_setting WHERE channel_id = 5);', send_message(5));
is_clean($node, 'chat', 'im', 'after the waits');

# Databases count apart. There is room for two.
new_database($node, 'second');
new_instance($node, 'second', 'im');
is(messages('second'), 0, 'another database begins at 0');
my $chat = messages('chat');
fill($node, 'second', 'im');
cmp_ok(messages('second'), '>', 0, 'it counts');
is(messages('chat'), $chat, 'and the first one does not');

new_database($node, 'third');
new_instance($node, 'third', 'im');
my $offset = -s $node->logfile;
is(value('third', 'hermet_metrics_shared'), 0, 'a third one finds no room');
like(slurp_file($node->logfile, $offset), qr/LOG:  hermet counts in this session only/, 'the server log says so');
fill($node, 'third', 'im');
is(messages('third'), 0, 'what a session there counted is gone with it');
is($node->safe_psql('third', <<'SQL'), "1\n0", 'but it knows of itself');
INSERT INTO im.message (id, channel_id, sender_id) VALUES (5000001, 1, 1);
SELECT value FROM hermet.metrics() WHERE name = 'hermet_sync_latency_seconds_count' AND labels ->> 'source' = 'message';
SELECT value FROM hermet.metrics() WHERE name = 'hermet_metrics_shared';
SQL
$node->safe_psql('postgres', 'DROP DATABASE second');
is(value('third', 'hermet_metrics_shared'), 1, 'the room of a database that is dropped is free again');
is(messages('third'), 0, 'and begins at 0');
is(messages('chat'), $chat, 'the first one goes on');

# Reset: of this database, for all its sessions.
my $third = background($node, 'third');
$third->query_safe('INSERT INTO im.message (id, channel_id, sender_id) VALUES (5000002, 1, 1)');
is(messages('third'), 1, 'a message');
$node->safe_psql('third', 'SELECT hermet.reset_metrics()');
is(messages('third'), 0, 'none after a reset');
$third->query_safe('INSERT INTO im.message (id, channel_id, sender_id) VALUES (5000003, 1, 1)');
is(messages('third'), 1, 'and one again');
$third->quit;
is(messages('chat'), $chat, 'the others keep theirs');

# A standby tells, too.
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'hot_standby = on');
$standby->start;
is( $standby->safe_psql('chat', "SELECT value FROM hermet.metrics() WHERE name IN ('hermet_metrics_shared', 'hermet_instance_readable')"),
    "1\n1", 'a standby has counters of its own, and reads the state of the instance');
$standby->stop;

# A crash of one process, and of the server: from 0, and shared.
for my $crash ('of a process', 'of the server') {
    my $since = value('chat', 'hermet_metrics_start_time_seconds');
    $node->safe_psql('chat', send_message(3));
    if ($crash eq 'of a process') {
        my $victim = background($node, 'chat');
        my $pid = $victim->query_safe('SELECT pg_backend_pid()');
        kill 'KILL', $pid;
        eval { $victim->quit };
        $node->poll_query_until('chat',
            "SELECT value > $since FROM hermet.metrics() WHERE name = 'hermet_metrics_start_time_seconds'");
    }
    else {
        $node->stop('immediate');
        $node->start;
    }
    is(value('chat', 'hermet_metrics_shared'), 1, "$crash: shared after it");
    is(messages('chat'), 0, "$crash: from 0");
    cmp_ok(value('chat', 'hermet_metrics_start_time_seconds'), '>', $since, "$crash: and says since when");
    $node->safe_psql('chat', send_message(4));
    is(messages('chat'), 1, "$crash: counts again");
}
is_clean($node, 'chat', 'im', 'at the end');
$node->stop;
done_testing();
