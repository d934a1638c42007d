# The drift canary of docs/operations.md: pg_cron checks a percent every minute, and health shows what it found.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', "shared_preload_libraries = 'pg_cron'\ncron.use_background_workers = on\nmax_worker_processes = 20\n");
new_database($node, 'chat');
$node->safe_psql('chat', q(CREATE ROLE chat_owner; GRANT CREATE ON DATABASE chat TO chat_owner; SET ROLE chat_owner; SELECT hermet.create_tables('im')));
$node->safe_psql('chat', q(
    SET search_path = im;
    INSERT INTO channel (id, channel_type) SELECT c, 'group' FROM generate_series(1, 100) c;
    INSERT INTO channel_member (id, channel_id, user_id) SELECT c * 1000 + u, c, u FROM generate_series(1, 100) c, generate_series(1, 100) u));
is_clean($node, 'chat', 'im', 'filled');
$node->safe_psql('chat', 'TRUNCATE im.hermet_check');

# Ten thousand wrong rows: a hundredth of them is none once in 10^43 times. They are there before the canary is, which
# comes with the clock's next minute.
$node->safe_psql('chat', q(SET session_replication_role = replica; UPDATE im.user_conversation_view SET unread_count = 77));
is(health($node, 'chat', 'im'), '', 'drift that nobody has looked for');

# The recipe, as the documentation has it.
$node->safe_psql('postgres', q(
    CREATE EXTENSION pg_cron;
    GRANT USAGE ON SCHEMA cron TO chat_owner;
    ALTER ROLE chat_owner LOGIN;
    SET SESSION AUTHORIZATION chat_owner;
    SELECT cron.schedule('hermet canary', '* * * * *', $$SELECT * FROM hermet.consistency_summary('im', sample => 0.01)$$);
    RESET SESSION AUTHORIZATION;
    UPDATE cron.job SET database = 'chat' WHERE jobname = 'hermet canary'));

is($node->safe_psql('postgres', q(SELECT username, database, active FROM cron.job)), 'chat_owner|chat|t', 'it runs as the owner');
ok($node->poll_query_until('chat', q(SELECT EXISTS (SELECT FROM im.hermet_check WHERE table_name = 'channel'))), 'the canary runs within the minute')
  or diag $node->safe_psql('postgres', 'SELECT * FROM cron.job_run_details');
# Once is enough: the next minute's would be among what is counted below.
$node->safe_psql('postgres', q(UPDATE cron.job SET active = false));
is(health($node, 'chat', 'im'), 'last check found problems|im.user_conversation_view', 'and health shows what it found');
is($node->safe_psql('chat', q(
        SELECT table_name, sample, rows_checked BETWEEN 50 AND 150, problems = rows_checked FROM im.hermet_check WHERE problems > 0)),
    'user_conversation_view|0.01|t|t', 'a hundredth of the rows');

# A later canary that misses the drift does not take the finding back; a repair and a whole check do.
$node->safe_psql('chat', q(CALL hermet.rebuild_conversation_view('im')));
$node->safe_psql('chat', q(SELECT * FROM hermet.consistency_summary('im', sample => 0.01)));
is(health($node, 'chat', 'im'), 'last check found problems|im.user_conversation_view', 'what a part found stays known');
$node->safe_psql('chat', q(SELECT * FROM hermet.consistency_summary('im')));
is(health($node, 'chat', 'im'), '', 'until a check of everything finds nothing');
is_clean($node, 'chat', 'im', 'mended');
no_crash($node);

done_testing();
