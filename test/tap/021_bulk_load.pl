# A session loads in bulk while others write and are maintained; it goes away, and health still knows.
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

my $load = start_load($node, 'chat', 'im', 4, $seed);
my $loader = background($node, 'chat');
$loader->query(q(SELECT hermet.begin_bulk_load('im')));
for my $part (1 .. 5) {
    $loader->query(qq(
        BEGIN;
        INSERT INTO im.channel (id, channel_name, channel_type) SELECT $part * 1000 + c, 'loaded', 'group' FROM generate_series(1, 50) c;
        INSERT INTO im.channel_member (id, channel_id, user_id, joined_at)
        SELECT $part * 10000000 + c * 1000 + u, $part * 1000 + c, u, 0 FROM generate_series(1, 50) c, generate_series(1, 20) u;
        INSERT INTO im.message (id, channel_id, sender_id, content)
        SELECT 500000000 + $part * 100000 + m, CASE WHEN m % 2 = 0 THEN 1 + m % 15 ELSE $part * 1000 + 1 + m % 50 END, 1 + m % 9, 'loaded'
          FROM generate_series(1, 1000) m;
        COMMIT;));
    load_goes_on($load);
}
is(health($node, 'chat', 'im') =~ /^bulk load open\|im.hermet_bulk_load$/m ? 1 : 0, 1, 'health speaks of the open load');
is($node->safe_psql('chat', 'SELECT count(*) FROM im.user_conversation_view WHERE channel_id BETWEEN 1001 AND 1050'), 0,
    'nothing of it reaches the inbox');

# Another session is maintained, in the channels of the load too.
$node->safe_psql('chat', q(
    INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (900000001, 25, 19, 'not in bulk'), (900000002, 1001, 1, 'into a loaded channel')));
is($node->safe_psql('chat', 'SELECT DISTINCT last_message_id FROM im.user_conversation_view WHERE channel_id = 25'), 900000001,
    'another session is maintained');
# Nobody else closes a load that is open, and the loader's end is not the load's.
sql_fails($node, 'chat', q(SELECT hermet.end_bulk_load('im')), '55000', 'the end of somebody else\'s load');
$loader->quit;
like(health($node, 'chat', 'im'), qr/^bulk load open\|/m, 'the session is gone, health still knows');
my %failed = %{ stop_load($load) };
is(join(' ', grep { !/^(40P01|40001|23505)$/ } sort keys %failed), '', 'other sessions did not fail');
$node->poll_query_until('chat', q(SELECT count(*) = 0 FROM im.hermet_bulk_load b JOIN pg_stat_get_activity(NULL) a ON a.pid = b.pid))
  or die 'the loader never went away';
is($node->psql('chat', q(SELECT hermet.end_bulk_load('im'))), 0, 'anybody of the owners may close it then');
like(health($node, 'chat', 'im'), qr/^bulk load not checked\|/m, 'closed is not right yet');
isnt($node->safe_psql('chat', q(SELECT sum(fail) FROM hermet.consistency_summary('im'))), 0, 'and it is not');
like(health($node, 'chat', 'im'), qr/^bulk load not checked\|/m, 'a check that finds something does not end it');

# The recipe's end: rebuild, check, healthy. The load goes on meanwhile.
$load = start_load($node, 'chat', 'im', 4, $seed + 1);
$node->safe_psql('chat', q(CALL hermet.rebuild_conversation_view('im')));
$node->safe_psql('chat', q(CALL hermet.rebuild_contact_view('im')));
is($node->safe_psql('chat', q(SELECT sum(fail) FROM hermet.consistency_summary('im'))), 0, 'rebuilt, the check finds nothing');
unlike(health($node, 'chat', 'im'), qr/^bulk load/m, 'and health no more load');
stop_load($load);
is_clean($node, 'chat', 'im', 'after the load');

# A check whose snapshot is older than the end of a load says nothing of it.
$loader = background($node, 'chat');
$loader->query(q(BEGIN; SELECT hermet.begin_bulk_load('im');
    INSERT INTO im.message (id, channel_id, sender_id) VALUES (950000001, 25, 19);
    SELECT hermet.end_bulk_load('im')));
my $checker = background($node, 'chat');
$checker->query(q(BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1));
$loader->query('COMMIT');
$loader->quit;
$checker->query(q(SELECT sum(fail) FROM hermet.consistency_summary('im'); COMMIT));
is($checker->{stderr}, '', 'a check finds nothing in what it sees');
like(health($node, 'chat', 'im'), qr/^bulk load not checked\|/m, 'a check that does not see the load does not end it');
$node->safe_psql('chat', q(CALL hermet.rebuild_conversation_view('im')));
$checker->query(q(SELECT sum(fail) FROM hermet.consistency_summary('im')));
$checker->quit;
is(health($node, 'chat', 'im'), '', 'one that does ends it');
is_clean($node, 'chat', 'im', 'at the end');
no_crash($node);

done_testing();
