# A physical standby: it can be read, checked and asked while it follows; promoted under load, it is right, and lives on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || time;
note "SEED=$seed";
my $primary = new_server('primary', '', allows_streaming => 1);
new_database($primary, 'chat');
new_instance($primary, 'chat', 'im');
fill($primary, 'chat', 'im');
$primary->safe_psql('chat', 'SELECT hermet.order_inboxes(NULL, 5)');
$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
my $load = start_load($primary, 'chat', 'im', 3, $seed);

sub caught_up {
    load_goes_on($load);
    return $primary->wait_for_catchup($standby);
}

###################################################################################################
# While it follows: whatever only reads works, in one snapshot, while changes come in.

for my $round (1 .. 5) {
    caught_up();
    # testing.clean() is hermet.check_consistency() and the rules written a second time.
    is($standby->safe_psql('chat', q(BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT left(c, 300) FROM testing.clean('im') c LIMIT 5; COMMIT)),
        '', "round $round: the standby is right in the middle of the load");
}
is($standby->safe_psql('chat', 'SELECT pg_is_in_recovery()'), 't', 'the standby is one');
my $tables = 'user_conversation_view user_contact_view conversation_reverse_index contact_reverse_index channel';
is(join(' ', split /\n/, $standby->safe_psql('chat', 'SELECT table_name FROM hermet.consistency_summary() WHERE ratio = 1 AND rows > 0')),
    $tables, 'consistency_summary() counts every table');
is($standby->safe_psql('chat', q(SELECT count(*) FROM hermet.check_consistency('im', 'channel', 3, 0.5))), 0, 'a sample, one table, one user');
# The load joins and leaves channels: which conversations there are is asked in the same snapshot.
is($standby->safe_psql('chat', q(SELECT count(*) > 20 FROM (SELECT user_id, channel_id FROM im.user_conversation_view ORDER BY 1, 2 LIMIT 1) v,
    hermet.explain_conversation(v.user_id, v.channel_id) WHERE reason IN ('right', 'unread'))), 't', 'explain_conversation()');
is($standby->safe_psql('chat', 'SELECT hermet.version() IS NOT NULL, hermet.now_ms() > 0, hermet.id_shard(4096 * 5), hermet.id_time(0) > 0'), 't|t|5|t', 'clock and ids');
is($standby->safe_psql('chat', 'SELECT target FROM hermet.instances()'), 'im', 'instances()');
is($standby->safe_psql('chat', q(SELECT length(hermet.definition('channel')) > 100)), 't', 'definition()');
is(health($standby, 'chat', 'im'), '', 'health()');

# A check leaves its note where it can be written.
$primary->safe_psql('chat', 'SELECT count(*) FROM hermet.check_consistency()');
my $notes = 'SELECT count(*), max(id) FROM im.hermet_check';
my $noted = $primary->safe_psql('chat', $notes);
caught_up();
$standby->safe_psql('chat', 'SELECT count(*) FROM hermet.check_consistency()');
is($standby->safe_psql('chat', $notes), $noted, 'a check on the standby leaves no note, those of the primary are there');

# What writes is refused in the server's words.
for my $sql (
    'SELECT hermet.next_id()', 'SELECT * FROM hermet.repair()', 'SELECT * FROM hermet.repair_conversation_view(1)',
    'SELECT * FROM hermet.repair_contact_view(1)', 'SELECT * FROM hermet.repair_channel(1)', 'SELECT hermet.order_inboxes()',
    "SELECT hermet.upgrade('im')", "SELECT hermet.detach('im')", "SELECT hermet.create_tables('other')",
    'INSERT INTO im.message (id, channel_id, sender_id) VALUES (1, 1, 1)',
) {
    is((sqlstates($standby, 'chat', $sql))[0][0], '25006', "refused: $sql");
}

# Drift that is planted on the primary is found on the standby, too: by bytes it is the same.
$primary->safe_psql('chat', q(SELECT testing.plant('UPDATE im.user_contact_view SET contact_nickname = contact_nickname || ''?'' WHERE user_id = 20')));
caught_up();
is($standby->safe_psql('chat', 'SELECT DISTINCT table_name, problem, column_name FROM hermet.check_consistency()'),
    'user_contact_view|stale|contact_nickname', 'drift is found on the standby');
retried($primary, 'chat', 'SELECT * FROM hermet.repair_contact_view(20)');

###################################################################################################
# Promoted in the middle of it. The primary is gone at once, as when a machine dies.

caught_up();
$primary->safe_psql('chat', q(
    BEGIN; INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (500000, 25, 19, 'prepared'); PREPARE TRANSACTION 'left over'));
my $last = $primary->safe_psql('chat', q(SELECT hermet.next_id()));
caught_up();
$primary->stop('immediate');
$standby->promote;
stop_of_lost_load();
is_clean($standby, 'chat', 'im', 'promoted');
is(health($standby, 'chat', 'im'), '', 'promoted: healthy');
cmp_ok($standby->safe_psql('chat', 'SELECT hermet.next_id()'), '>', $last, 'promoted: ids go on rising');

# Prepared transactions come over with their locks.
is($standby->safe_psql('chat', 'SELECT gid FROM pg_prepared_xacts'), 'left over', 'a prepared transaction came over');
is((sqlstates($standby, 'chat', q(SET lock_timeout = '100ms'; INSERT INTO im.message (id, channel_id, sender_id) VALUES (500001, 25, 19))))[0][0],
    '55P03', 'and still locks its channel');
$standby->safe_psql('chat', q(COMMIT PREPARED 'left over'));
is($standby->safe_psql('chat', 'SELECT DISTINCT last_message_content FROM im.user_conversation_view WHERE channel_id = 25'), 'prepared', 'committed, it is shown');

$load = start_load($standby, 'chat', 'im', 3, $seed + 1);
load_goes_on($load) for 1 .. 3;
my $failed = stop_load($load);
is(join(' ', keys %$failed), '', 'promoted: writes go on');
is_clean($standby, 'chat', 'im', 'promoted and written');
$standby->safe_psql('chat', 'SELECT count(*) FROM hermet.check_consistency()');
cmp_ok((split /\|/, $standby->safe_psql('chat', $notes))[1], '>', (split /\|/, $noted)[1], 'checks leave notes again');
no_crash($standby);
$standby->stop;
done_testing();

# The sessions end when they have no server any more.
sub stop_of_lost_load {
    $_->{run}->finish for @{ $load->{sessions} };
    return is(scalar(grep { $_->{run}->result(0) == 0 } @{ $load->{sessions} }), 0, 'the load was cut off in the middle of it');
}
