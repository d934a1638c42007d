# Read nodes: a primary under load and two nodes that follow it, each for half of the users. Whatever happens to a node, in the
# end it has what the rules make of the primary's write side, and at every commit its read side is right in itself.
# SOAK_MINUTES=10 goes round and round for so long. With SHARDS the primary is sharded, one node is plain, and the other one has
# other numbers of partitions; a node that was copied from a plain primary is sharded in the end, too.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || time;
note "SEED=$seed";
srand $seed;
my $soak = 60 * ($ENV{SOAK_MINUTES} || 0);

my @shards = $ENV{SHARDS} ? ('0, 0', '2, 4') : ('0, 0', '0, 0');
# So little memory for decoding that a batch is streamed, to the node that asks for it.
my $primary = new_server('primary', "max_wal_senders = 10\nmax_replication_slots = 10\nlogical_decoding_work_mem = 64kB",
    allows_streaming => 'logical');
new_database($primary, 'chat');
new_instance($primary, 'chat', 'im');
fill($primary, 'chat', 'im');
# What is the application's own on the primary, and its secrets, are no node's business.
$primary->safe_psql('chat', q(
    ALTER TABLE im.message ADD COLUMN own_device text NOT NULL DEFAULT 'phone';
    UPDATE im.biz_user SET passwd = 'secret';
    CREATE ROLE stranger; GRANT USAGE ON SCHEMA im TO stranger; GRANT INSERT, UPDATE, DELETE, SELECT ON ALL TABLES IN SCHEMA im TO stranger));

# Users 21 to 400 in one large group, so that a batch has somebody to reach.
$primary->safe_psql('chat', q(
    INSERT INTO im.biz_user (id, nickname) SELECT u, 'user ' || u FROM generate_series(21, 400) u;
    INSERT INTO im.channel (id, channel_type, channel_name) VALUES (31, 'group', 'large');
    INSERT INTO im.channel_member (id, channel_id, user_id, joined_at) SELECT 31000 + u, 31, u, 1000 FROM generate_series(1, 400) u));

###################################################################################################
# What publish() refuses.

for ([ 'im', 0, 0 ], [ 'im', -1, 0 ], [ 'im', 2, 2 ], [ 'im', 2, -1 ]) {
    my ($target, $nodes, $node) = @$_;
    is(sqlstates($primary, 'chat', "SELECT hermet.publish('$target', $nodes, $node)"), '22023', "node $node of $nodes is refused");
}
is(sqlstates($primary, 'chat', q(SELECT hermet.publish('im', NULL, 0))), '22004', 'so is NULL');
is(sqlstates($primary, 'chat', q(SET ROLE stranger; SELECT hermet.publish('im', 2, 0))), '42501', 'and a stranger');
is(sqlstates($primary, 'chat', q(BEGIN; ALTER TABLE im.biz_user REPLICA IDENTITY FULL; SELECT hermet.publish('im', 2, 0))), '55000',
    'a replica identity that holds the password is refused, not changed');
for my $node (0, 1) {
    is($primary->safe_psql('chat', "SELECT hermet.publish('im', 2, $node)"), "hermet_im_${node}_of_2", "publish: node $node");
}
is($primary->safe_psql('chat', q(SELECT hermet.publish(NULL, 2, 1))), 'hermet_im_1_of_2', 'publish is idempotent');
is($primary->safe_psql('chat', q(SELECT string_agg(tablename || coalesce(' ' || rowfilter, ''), ', ' ORDER BY tablename)
    FROM pg_publication_tables WHERE pubname = 'hermet_im_1_of_2')),
    'biz_user, channel, channel_application, channel_member, channel_read_record (abs((user_id % (2)::bigint)) = 1), '
      . 'conversation_setting (abs((user_id % (2)::bigint)) = 1), friendship (abs((user_id % (2)::bigint)) = 1), message',
    'rows by user where they are his alone');
is(sqlstates($primary, 'chat', q(SELECT hermet.reshard('im', 2, 2))), '2BP01', 'what is published is not made anew');
is($primary->safe_psql('chat', q(SELECT count(*) FROM pg_publication_tables WHERE attnames && '{passwd,own_device}')), 0, 'no password, no column of the application');

###################################################################################################
# The nodes. The initial copy runs while the primary is written.

my $load = start_load($primary, 'chat', 'im', 3, $seed);
my @node;
# One instance is a superuser's, like its subscription; the other one is not.
my @owner = ('', 'SET SESSION AUTHORIZATION keeper;');
# Of how many nodes each is which one.
my @of = ([ 2, 0 ], [ 2, 1 ]);
for my $n (0, 1) {
    $node[$n] = new_server("node$n", "shared_preload_libraries = '$ENV{HERMET_LIBRARY}'");
    new_database($node[$n], 'chat');
    $node[$n]->safe_psql('chat', 'CREATE ROLE keeper; GRANT CREATE ON DATABASE chat TO keeper');
    as_owner($n, "SELECT hermet.create_tables('im', $shards[$n])");
}
is(sqlstates($node[0], 'chat', q(SELECT hermet.follow('im'))), '55000', 'follow() needs a subscription');
is(sqlstates($node[0], 'chat', q(SELECT hermet.publish('im', 2, 0))), '55000', 'publish() needs wal_level = logical');
is(sqlstates($node[0], 'chat', q(SELECT hermet.unfollow('im'))), '55000', 'unfollow() needs a read node');
subscribe(0, 'hermet_im_0_of_2');
is(health($node[0], 'chat', 'im') =~ s/copy not finished\|\w+\n//r, 'subscription not followed|node0', 'health: a subscription, and nobody who maintains');
is(sqlstates($node[0], 'chat', q(BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT hermet.follow('im'))), '0A000', 'follow() at REPEATABLE READ is refused');
as_owner(0, q(SELECT hermet.follow('im')));
# A row that is in the way of the copy: follow() tells, waits, and goes on when it is away.
$node[1]->safe_psql('chat', q(INSERT INTO im.channel (id, channel_type) VALUES (5, 'group')));
subscribe(1, 'hermet_im_1_of_2');
my ($told, $none) = ('', '');
my $following = IPC::Run::start([ 'psql', '-XAtq', '-d', $node[1]->connstr('chat'), '-c', "$owner[1] SELECT hermet.follow('im')" ],
    '<', \undef, '>', \$none, '2>', \$told, IPC::Run::timeout(120));
$following->pump until $told =~ /has failed/ || !$following->pumpable;
like($told, qr/the copy of subscription "node1" has failed \d+ time/, 'follow() tells that the copy fails');
$node[1]->safe_psql('chat', 'DELETE FROM im.channel WHERE id = 5');
ok($following->finish, 'and waits for it');
$node[1]->safe_psql('chat', q(SELECT pg_stat_reset_subscription_stats(oid) FROM pg_subscription));
is($node[1]->safe_psql('chat', q(SELECT nodes, node, subscription FROM im.hermet_node)), '2|1|node1', 'hermet_node says whose');
is_same('after the copy');
is($node[0]->safe_psql('chat', q(SELECT count(*) FROM im.biz_user WHERE passwd <> '')), 0, 'no password has left the primary');

# What a node refuses. Whoever fails over by SQLSTATE finds the one of a standby.
for my $sql ('INSERT INTO im.message (id, channel_id, sender_id) VALUES (1, 1, 1)', 'UPDATE im.biz_user SET nickname = nickname',
    'DELETE FROM im.friendship', 'TRUNCATE im.conversation_setting', 'INSERT INTO im.channel_application (id, applicant_id, application_type, target_id) VALUES (9, 1, 1, 1)') {
    is(sqlstates($node[0], 'chat', $sql =~ s/9, 1, 1, 1/9, 1, 'contact', 1/r), '25006', "refused on a node: $sql");
}
is(sqlstates($node[0], 'chat', 'DELETE FROM im.user_contact_view'), '42809', 'and the read side as ever');
is(sqlstates($node[0], 'chat', q(SELECT hermet.enable_events('im'))), '55000', 'events on a node are refused');
is(sqlstates($node[0], 'chat', q(SELECT hermet.publish('im', 2, 0))), '55000', 'a node is not published');
is(sqlstates($node[$_], 'chat', q(SELECT hermet.reshard('im', 4, 4))), '2BP01', "tables that replication writes to are not made anew: node $_") for 0, 1;
is(sqlstates($node[0], 'chat', q(SELECT hermet.unfollow('im'))), '55000', 'unfollow() with a subscription is refused');
is($node[0]->safe_psql('chat', 'SELECT hermet.follow()'), '', 'follow() is idempotent');
is(health($node[$_], 'chat', 'im'), '', "health of node $_") for 0, 1;
is(as_owner(1, 'SELECT problem FROM hermet.health()'), '', 'and as its owner sees it');
# Of a user of another node a node has no row, and says why.
is($node[0]->safe_psql('chat', q(SELECT DISTINCT reason FROM hermet.explain_conversation(1, 31) WHERE item = 'read node')),
    'the user is one of node 1 of 2, this is node 0: no row', 'explain_conversation() of a user of another node');
is($node[1]->safe_psql('chat', q(SELECT count(*) FROM hermet.conversation_list(1) WHERE channel_id = 31)), 1, 'lists come from the node that has the user');

###################################################################################################
# A round: what happens to a node, under load.

my $next = 2_000_000_000;
my %happens = (
    'a batch of 10,000 messages' => sub {
        $primary->safe_psql('chat', sprintf q(
            INSERT INTO im.message (id, channel_id, sender_id, content, mention_user_ids)
            SELECT %d + m, CASE WHEN m %% 3 = 0 THEN 31 ELSE 1 + m %% 15 END, 1 + m %% 20, 'batch', ARRAY[m %% 30] FROM generate_series(1, 10000) m),
            fresh_id());
    },
    'one transaction of everything' => sub {
        retried($primary, 'chat', sprintf q(
            BEGIN;
            INSERT INTO im.channel (id, channel_type, channel_name) VALUES (%1$d, 'group', 'new');
            INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (%1$d, %1$d, 3, 'before its members');
            INSERT INTO im.channel_member (id, channel_id, user_id) SELECT %1$d + u, %1$d, u FROM generate_series(1, 30) u;
            INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (%1$d + 1, %1$d, 4, 'after them'), (%1$d + 2, 31, 4, 'elsewhere');
            UPDATE im.channel SET channel_name = 'renamed', channel_status = 'active' WHERE id IN (%1$d, 16);
            INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id) SELECT %1$d + u, u, %1$d, %1$d FROM generate_series(1, 9) u;
            UPDATE im.channel_member SET nickname = 'boss' WHERE channel_id = %1$d AND user_id = 4;
            UPDATE im.message SET content = 'edited' WHERE channel_id = %1$d AND id = %1$d + 1;
            UPDATE im.message SET deleted_at = 1 WHERE channel_id = 31 AND id = %1$d + 2;
            UPDATE im.channel_member SET left_at = 9000 WHERE channel_id = %1$d AND user_id = 6;
            UPDATE im.biz_user SET nickname = 'no one ' || %1$d, avatar = 'x' WHERE id IN (17, 18, 19, 4);
            COMMIT;), fresh_id());
    },
    'people who spoke last, and renamed' => sub {
        # Of these users no node but their own has a row that says where they spoke.
        retried($primary, 'chat', sprintf q(
            BEGIN;
            INSERT INTO im.message (id, channel_id, sender_id, content) SELECT %1$d + c, c, 18 + c %% 2, 'last' FROM generate_series(16, 31) c;
            COMMIT;
            UPDATE im.biz_user SET nickname = 'renamed ' || %1$d WHERE id IN (18, 19)), fresh_id());
    },
    'rows that go to the other node' => sub {
        # What is user 15's becomes that of 516, and the next time it goes back.
        retried($primary, 'chat', q(
            BEGIN;
            UPDATE im.conversation_setting SET user_id = 531 - user_id WHERE user_id IN (15, 516);
            UPDATE im.friendship SET user_id = 531 - user_id WHERE user_id IN (15, 516);
            UPDATE im.channel_read_record SET user_id = 525 - user_id WHERE user_id IN (12, 513);
            UPDATE im.channel_member SET user_id = 1701 - user_id WHERE channel_id = 31 AND (user_id BETWEEN 340 AND 360 OR user_id BETWEEN 1341 AND 1361);
            COMMIT;));
    },
    'single chats that come and go' => sub {
        retried($primary, 'chat', sprintf q(
            BEGIN;
            INSERT INTO im.channel (id, channel_type) VALUES (%1$d, 'single');
            INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (%1$d, %1$d, 17), (%1$d + 1, %1$d, 20);
            INSERT INTO im.friendship (id, user_id, friend_id, remark_name) VALUES (%1$d, 17, 20, 'r') ON CONFLICT (user_id, friend_id) DO UPDATE SET remark_name = 'again' || %1$d;
            INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (%1$d, %1$d, 17, 'between us');
            COMMIT;
            UPDATE im.channel SET channel_status = CASE channel_status WHEN 'active' THEN 'archived' ELSE 'active' END::im.channel_status_enum WHERE id BETWEEN 116 AND 120;
            DELETE FROM im.channel_member WHERE channel_id IN (SELECT id FROM im.channel WHERE channel_type = 'single' AND id > 2000000000 ORDER BY id LIMIT 1);
            ), fresh_id());
    },
    'TRUNCATE' => sub {
        my ($table) = (qw(im.conversation_setting im.channel_read_record im.friendship im.message))[ int rand 4 ];
        note "TRUNCATE $table";
        retried($primary, 'chat', "BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (" . fresh_id() . ", 31, 2);"
              . " TRUNCATE $table; INSERT INTO im.message (id, channel_id, sender_id) VALUES (" . fresh_id() . ", 31, 2); COMMIT");
    },
    'a prepared transaction' => sub {
        my $id = fresh_id();
        $primary->safe_psql('chat', "BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES ($id, 25, 19); PREPARE TRANSACTION 'p$id'");
        load_goes_on($load);
        $primary->safe_psql('chat', "COMMIT PREPARED 'p$id'");
    },
    'a node that is away for a while' => sub {
        my $n = int rand 2;
        $node[$n]->stop('fast');
        load_goes_on($load) for 1 .. 3;
        $node[$n]->start;
    },
    'an apply worker that is killed' => sub {
        my $n = int rand 2;
        my $pid = worker($n);
        kill 'KILL', $pid;
        # A killed process takes the server with it; its tests' settings leave it down.
        my $waited = 0;
        sleep 1 while -e $node[$n]->data_dir . '/postmaster.pid' && $waited++ < 60;
        $node[$n]->_update_pid(0);
        load_goes_on($load);
        $node[$n]->start;
    },
    'an apply worker that is terminated' => sub {
        my $n = int rand 2;
        $node[$n]->safe_psql('chat', 'SELECT pg_terminate_backend(' . worker($n) . ')');
    },
    'a node that is stopped in the middle of it' => sub {
        my $n = int rand 2;
        $node[$n]->stop('immediate');
        load_goes_on($load);
        $node[$n]->start;
    },
    'a repair and a rebuild on a node' => sub {
        my $n = int rand 2;
        # Rows that are wrong, one that is missing, and one of a user who is not this node's.
        $node[$n]->safe_psql('chat', sprintf q(
            SELECT testing.plant('UPDATE im.user_conversation_view SET unread_count = unread_count + 3 WHERE channel_id = 31');
            SELECT testing.plant('DELETE FROM im.user_contact_view WHERE user_id > 15');
            SELECT testing.plant('INSERT INTO im.contact_reverse_index VALUES (999, %d, 1)'); ), 99 - $n);
        my $found = $node[$n]->safe_psql('chat', 'SELECT string_agg(DISTINCT table_name || problem, $$ $$) FROM hermet.check_consistency()');
        like($found, qr/contact_reverse_indexunexpected.*user_conversation_viewstale/, 'a check finds what is planted on a node');
        if (rand() < 0.5) {
            as_owner($n, 'SELECT * FROM hermet.repair()');
        }
        else {
            $node[$n]->safe_psql('chat', 'CALL hermet.rebuild_conversation_view(batch_size => 100)');
            $node[$n]->safe_psql('chat', 'CALL hermet.rebuild_contact_view()');
        }
    },
    'upgrade() on a node' => sub {
        my $n = int rand 2;
        retried($node[$n], 'chat', "SELECT hermet.upgrade('im')");
    },
    'a node that is copied again' => sub { copy_again(int rand 2) },
);

my $ends = time + $soak;
my $round = 0;
do {
    $round++;
    for my $what (sort { rand() <=> 0.5 } sort keys %happens) {
        note "round $round: $what";
        $happens{$what}->();
        load_goes_on($load);
        # At every commit of apply the node is right by itself, whatever the primary has done since. (To a snapshot from before
        # a TRUNCATE the table is empty, as it is anywhere.)
        if ($what eq 'TRUNCATE') { $primary->wait_for_catchup("node$_") for 0, 1 }
        for my $n (0, 1) {
            my $found = $node[$n]->safe_psql('chat', 'SELECT left(c::text, 300) FROM hermet.check_consistency() c LIMIT 5');
            is($found, '', "round $round, $what: node $n is right in the middle of it");
        }
        is_same("round $round, $what") if $soak ? rand() < 0.3 : $what =~ /TRUNCATE|spoke/;
    }
    is_same("round $round");
} while time < $ends;

# What may happen to statements under load: deadlocks with TRUNCATE, and unique keys.
my $failed = stop_load($load);
$load->{over} = 1;
delete @$failed{qw(40P01 40001)};
is(join(' ', keys %$failed), '', 'the primary is written as ever');
is_clean($primary, 'chat', 'im', 'the primary');
is(health($node[$_], 'chat', 'im'), '', "health of node $_ in the end") for 0, 1;

###################################################################################################
# An error in apply: seen, and the way out.

$node[0]->safe_psql('chat', q(SET session_replication_role = replica; INSERT INTO im.channel (id, channel_type) VALUES (77777, 'group')));
is($node[0]->safe_psql('chat', 'SELECT count(*) FROM hermet.check_consistency()'), 0, 'what a superuser writes as replication does is maintained');
$primary->safe_psql('chat', q(INSERT INTO im.channel (id, channel_type) VALUES (77777, 'group')));
ok($node[0]->poll_query_until('chat', q(SELECT EXISTS (SELECT FROM hermet.health() WHERE problem = 'replication errors'))), 'health: an error in apply');
$node[0]->safe_psql('chat', q(SET session_replication_role = replica; DELETE FROM im.channel WHERE id = 77777));
$primary->wait_for_catchup('node0');
is(health($node[0], 'chat', 'im'), 'replication errors|node0', 'health: the error is over, and to be acknowledged');
$node[0]->safe_psql('chat', q(SELECT pg_stat_reset_subscription_stats(oid) FROM pg_subscription));
is_same('after an error in apply');

# disable_on_error stops at the first one.
$node[0]->safe_psql('chat', q(ALTER SUBSCRIPTION node0 SET (disable_on_error = true)));
$node[0]->safe_psql('chat', q(SET session_replication_role = replica; INSERT INTO im.channel (id, channel_type) VALUES (77778, 'group')));
$primary->safe_psql('chat', q(INSERT INTO im.channel (id, channel_type) VALUES (77778, 'group')));
ok($node[0]->poll_query_until('chat', q(SELECT EXISTS (SELECT FROM hermet.health() WHERE problem = 'subscription disabled'))), 'health: the subscription is disabled');
is($node[0]->safe_psql('chat', q(SELECT value FROM hermet.metrics() WHERE name = 'hermet_node_following')), 0, 'metrics: it does not follow');
$node[0]->safe_psql('chat', q(SET session_replication_role = replica; DELETE FROM im.channel WHERE id = 77778));
$node[0]->safe_psql('chat', q(ALTER SUBSCRIPTION node0 SET (disable_on_error = false)));
$node[0]->safe_psql('chat', q(ALTER SUBSCRIPTION node0 ENABLE));
is_same('enabled again');
$node[0]->safe_psql('chat', q(SELECT pg_stat_reset_subscription_stats(oid) FROM pg_subscription));
$node[0]->poll_query_until('chat', q(SELECT value = 1 FROM hermet.metrics() WHERE name = 'hermet_node_following'));

# A trigger that is gone or altered is no secret, and upgrade() mends it.
$node[0]->safe_psql('chat', q(DROP TRIGGER hermet_node_row ON im.message; ALTER TABLE im.friendship ENABLE TRIGGER hermet_node_row; ALTER TABLE im.channel DISABLE TRIGGER hermet_node_guard));
is(health($node[0], 'chat', 'im'), "trigger disabled|im.channel.hermet_node_guard\ntrigger disabled|im.friendship.hermet_node_row\ntrigger missing|im.message.hermet_node_row",
    'health: triggers of a node');
$primary->safe_psql('chat', 'INSERT INTO im.message (id, channel_id, sender_id) VALUES (' . fresh_id() . ', 31, 2)');
$primary->wait_for_catchup('node0');
isnt($node[0]->safe_psql('chat', 'SELECT count(*) FROM hermet.check_consistency()'), 0, 'what no trigger saw is drift');
$node[0]->safe_psql('chat', q(SELECT hermet.upgrade('im')));
is(health($node[0], 'chat', 'im') =~ s/last check found problems\|\S+\n?//gr, '', 'upgrade() makes them anew');
is_same('after upgrade()');
$node[0]->safe_psql('chat', 'SELECT count(*) FROM hermet.check_consistency()');

# The lag: from the commit on the primary until the node's read side had it.
my $sum = q(SELECT value FROM hermet.metrics() WHERE name = 'hermet_sync_latency_seconds_sum' AND labels @> '{"source":"friendship"}');
my $before = $node[1]->safe_psql('chat', $sum);
$node[1]->stop;
$primary->safe_psql('chat', 'INSERT INTO im.friendship (id, user_id, friend_id) VALUES (77777, 11, 3)');
sleep 2;
$node[1]->start;
is_same('after two seconds');
cmp_ok($node[1]->safe_psql('chat', $sum), '>=', 2, 'metrics: the lag begins with the commit on the primary');
cmp_ok($before, '>', 0, 'metrics: so it has been counted before');
cmp_ok($node[0]->safe_psql('chat', q(SELECT value FROM hermet.metrics() WHERE name = 'hermet_node_silence_seconds')), '<', 300, 'metrics: it has heard of the primary');

###################################################################################################
# Partitions of a node that come and go. What is applied waits meanwhile, and nothing is lost.

if ($ENV{SHARDS}) {
    my ($bound) = $node[1]->safe_psql('chat', q(SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 'im.message_1'::regclass));
    retried($node[1], 'chat', 'ALTER TABLE im.message DETACH PARTITION im.message_1');
    $primary->safe_psql('chat', 'INSERT INTO im.message (id, channel_id, sender_id) VALUES (' . fresh_id() . ', 31, 2)');
    ok($node[1]->poll_query_until('chat', q(SELECT count(DISTINCT problem) = 2 FROM hermet.health() WHERE problem IN ('table altered', 'replication errors'))),
        'health: a partition is detached, and replication stops');
    retried($node[1], 'chat', "ALTER TABLE im.message ATTACH PARTITION im.message_1 $bound");
    is_same('after a partition was away');
    $node[1]->safe_psql('chat', q(SELECT pg_stat_reset_subscription_stats(oid) FROM pg_subscription));
    is(health($node[1], 'chat', 'im'), '', 'health: the partition is back, with its triggers');

    # A new one has its triggers from the table, and from upgrade() those of statements.
    retried($node[1], 'chat', 'BEGIN; ALTER TABLE im.conversation_setting DETACH PARTITION im.conversation_setting_2;'
          . ' CREATE TABLE im.fresh (LIKE im.conversation_setting INCLUDING ALL); INSERT INTO im.fresh SELECT * FROM im.conversation_setting_2;'
          . ' DROP TABLE im.conversation_setting_2; ALTER TABLE im.fresh RENAME TO conversation_setting_2; ALTER TABLE im.conversation_setting_2 OWNER TO keeper;'
          . ' ALTER TABLE im.conversation_setting ATTACH PARTITION im.conversation_setting_2 FOR VALUES WITH (MODULUS 4, REMAINDER 0); COMMIT');
    is($node[1]->safe_psql('chat', q(SELECT string_agg(format('%s %s', tgname, tgenabled), ', ' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = 'im.conversation_setting_2'::regclass)),
        'hermet_node_row R', 'a new partition has the row trigger, and it fires in replication only');
    like(health($node[1], 'chat', 'im'), qr/trigger missing\|im.conversation_setting_2.hermet_node_guard/, 'health: the others are missing');
    retried($node[1], 'chat', q(SELECT hermet.upgrade('im')));
    is(health($node[1], 'chat', 'im'), '', 'upgrade() makes them');
    $primary->safe_psql('chat', q(INSERT INTO im.conversation_setting (user_id, channel_id, is_muted) SELECT 1 + 2 * u, 31, true FROM generate_series(1, 100) u
        ON CONFLICT (user_id, channel_id) DO UPDATE SET is_muted = NOT im.conversation_setting.is_muted));
    is_same('after a new partition');
}

# A dump of a node holds what it is. Without its subscription it is read, and becomes what one likes.
$node[1]->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $node[1]->basedir . '/node.dump';
command_ok([ 'pg_dump', '-Fc', '--no-subscriptions', '-f', $dump, '-d', $node[1]->connstr('chat') ], 'dump of a node');
command_ok([ 'pg_restore', '-j2', '-d', $node[1]->connstr('copy'), $dump ], 'restored');
is(rows($node[1], 'copy', 'im'), rows($node[1], 'chat', 'im'), 'every row is there');
is(health($node[1], 'copy', 'im'), 'subscription missing|node1', 'health of the restored node');
is($node[1]->safe_psql('copy', 'SELECT count(*) FROM hermet.check_consistency()'), 0, 'and it is right');
is(sqlstates($node[1], 'copy', 'DELETE FROM im.message'), '25006', 'and read only');
$node[1]->safe_psql('copy', q(SET session_replication_role = replica; INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (1, 31, 2, 'as replication does')));
is($node[1]->safe_psql('copy', 'SELECT count(*) FROM hermet.check_consistency()'), 0, 'and derives what replication writes');

###################################################################################################
# Another share, another kind: node 0 takes the place of the only node, with other tables.

$primary->safe_psql('chat', q(SELECT hermet.publish('im', 1, 0)));
$node[0]->safe_psql('chat', 'DROP SUBSCRIPTION node0');
subscribe(0, 'hermet_im_0_of_1', 'WITH (copy_data = false)');
is(sqlstates($node[0], 'chat', q(SELECT hermet.follow('im'))), '55000', 'follow() does not take over the rows of another share');
like(health($node[0], 'chat', 'im'), qr/^subscription of another share\|node0$/m, 'health: the subscription is of another share');
copy_again(0, 'hermet_im_0_of_1', q(SELECT hermet.reshard('im', 2, 4)));
$of[0] = [ 1, 0 ];
$happens{$_}->() for 'one transaction of everything', 'rows that go to the other node', 'single chats that come and go', 'a batch of 10,000 messages';
is_same('a node of one, in partitions');

###################################################################################################
# Promotion: a node of one has everything but passwords, and becomes a primary.

$node[0]->safe_psql('chat', 'SELECT count(*) FROM hermet.check_consistency()');
$primary->wait_for_catchup('node0');
my $was = rows($primary, 'chat', 'im');
$primary->stop('immediate');
$node[0]->safe_psql('chat', q(ALTER SUBSCRIPTION node0 DISABLE));
$node[0]->safe_psql('chat', q(ALTER SUBSCRIPTION node0 SET (slot_name = NONE)));
$node[0]->safe_psql('chat', q(DROP SUBSCRIPTION node0));
is(health($node[0], 'chat', 'im'), 'subscription missing|node0', 'health: the subscription is gone');
$node[0]->safe_psql('chat', q(SELECT hermet.unfollow('im')));
is(health($node[0], 'chat', 'im'), '', 'promoted: healthy');
is_clean($node[0], 'chat', 'im', 'promoted');
$node[0]->safe_psql('chat', q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (hermet.next_id(), 31, 2, 'written here'); UPDATE im.biz_user SET nickname = 'new' WHERE id < 10; TRUNCATE im.friendship));
is_clean($node[0], 'chat', 'im', 'promoted and written');

# A node of two, left alone, is an instance with half of the rows: it says so.
my ($status, $out, $err) = $node[1]->psql('chat', q(ALTER SUBSCRIPTION node1 DISABLE; ALTER SUBSCRIPTION node1 SET (slot_name = NONE); DROP SUBSCRIPTION node1; SELECT hermet.unfollow('im')));
like($err, qr/has only part of the rows/, 'a node of several warns when it is left alone');
is_clean($node[1], 'chat', 'im', 'left alone');
no_crash($primary);
for my $n (0, 1) {
    # One was killed on purpose.
    my @traces = grep { /terminated by signal|TRAP:|PANIC:|was aborted/ && !/logical replication worker.*signal 9/ } split /\n/, slurp_file($node[$n]->logfile);
    is(join("\n", @traces), '', "no other process of node $n crashed");
}
$_->stop for @node;
done_testing();

###################################################################################################

# Ids of 20,000 rows.
sub fresh_id { return $next += 20000 }

sub as_owner {
    my ($n, $sql) = @_;
    return $node[$n]->safe_psql('chat', "$owner[$n] $sql");
}

sub subscribe {
    my ($n, $publication, $options) = @_;
    my $from = $primary->connstr . ' dbname=chat';
    $options //= $n == 1 ? 'WITH (streaming = on)' : '';
    return $node[$n]->safe_psql('chat', "CREATE SUBSCRIPTION node$n CONNECTION '$from' PUBLICATION $publication $options");
}

sub worker {
    my ($n) = @_;
    $node[$n]->poll_query_until('chat', 'SELECT EXISTS (SELECT FROM pg_stat_subscription WHERE relid IS NULL AND pid IS NOT NULL)');
    return $node[$n]->safe_psql('chat', 'SELECT pid FROM pg_stat_subscription WHERE relid IS NULL');
}

sub copy_again {
    my ($n, $publication, $while_empty) = @_;
    $publication //= "hermet_im_${n}_of_2";
    $node[$n]->safe_psql('chat', "DROP SUBSCRIPTION node$n");
    as_owner($n, q(SELECT hermet.unfollow('im', empty => true)));
    is($node[$n]->safe_psql('chat', 'SELECT count(*) FROM im.message') + $node[$n]->safe_psql('chat', 'SELECT count(*) FROM im.user_conversation_view'), 0, 'emptied');
    $node[$n]->safe_psql('chat', $while_empty) if $while_empty;
    subscribe($n, $publication);
    return as_owner($n, q(SELECT hermet.follow('im')));
}

# The node's read side is what the rules make of the primary's write side, for its users: row by row, and nothing else. And its
# own check finds nothing. The load pauses, as the two are read one after the other.
sub is_same {
    my ($what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $resumed = $load && !$load->{over};
    stop_quietly() if $resumed;
    my %users = (
        user_conversation_view => 'user_id', user_contact_view => 'user_id',
        conversation_reverse_index => 'owner_user_id', contact_reverse_index => 'owner_user_id', channel => undef);
    for my $n (0, 1) {
        $primary->wait_for_catchup("node$n");
        for my $table (sort keys %users) {
            my $columns = $primary->safe_psql('chat', "SELECT testing.columns('$table', 'im')");
            my $of_node = $users{$table} ? "abs($users{$table} % $of[$n][0]) = $of[$n][1]" : 'true';
            my $definition = $primary->safe_psql('chat', "SELECT hermet.definition('$table', 'im')");
            my $order = 'ORDER BY (ROW(' . $columns . '))::text COLLATE "C"';
            my $expected = $primary->safe_psql('chat', "SELECT $columns FROM ($definition) d WHERE $of_node $order");
            my $found = $node[$n]->safe_psql('chat', "SELECT $columns FROM im.$table $order");
            if ($expected ne $found) {
                my %left = map { $_ => 1 } split /\n/, $found;
                my @lacking = grep { !delete $left{$_} } split /\n/, $expected;
                diag "lacking: $_" for splice @lacking, 0, 5;
                diag "surplus: $_" for (sort keys %left)[ 0 .. 4 ];
            }
            ok($expected eq $found, "$what: $table of node $n is what the rules make of the primary's write side");
        }
        is($node[$n]->safe_psql('chat', 'SELECT left(c::text, 300) FROM hermet.check_consistency() c LIMIT 5'), '', "$what: node $n finds nothing itself");
    }
    $load = start_load($primary, 'chat', 'im', 3, ++$seed) if $resumed;
    return;
}

sub stop_quietly {
    my $failed = stop_load($load);
    delete @$failed{qw(40P01 40001)};
    return is(join(' ', keys %$failed), '', 'the load meets no error of its own');
}
