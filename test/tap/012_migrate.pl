# A legacy table, dirty in every way, goes to the write side: what can be carried is, all else is reported with its
# reason, and the inbox shows what it should, by rows whose fate is known as they are made (lib/legacy.sql). Cancelled,
# killed, or crashed in the middle, the migration goes on; done again, it changes nothing.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{HERMET_SEED} // int rand 1_000_000;
note "seed $seed (HERMET_SEED=$seed makes the same legacy table)";

my $node = new_server('main', q(
    shared_buffers = '64MB'
    work_mem = '16MB'
    jit = off
));

# Makes a database with an instance im and a legacy table.
sub legacy {
    my ($database, $singles, $groups) = @_;
    new_database($node, $database);
    new_instance($node, $database, 'im');
    my $sql = slurp_file("$FindBin::Bin/lib/legacy.sql");
    my %word = (seed => $seed, singles => $singles, groups => $groups);
    $sql =~ s/(?<!:):(seed|singles|groups)\b/$word{$1}/g;
    $node->safe_psql($database, $sql);
    return;
}

# Rows of either query that the other does not give, as often; the first few of them.
sub same_rows {
    my ($database, $found, $expected, $what) = @_;
    my $differences = $node->safe_psql($database, qq(
        WITH found AS ($found), expected AS ($expected)
        SELECT * FROM ((SELECT 'found' AS side, x::text FROM (TABLE found EXCEPT ALL TABLE expected) x)
                 UNION ALL (SELECT 'expected', x::text FROM (TABLE expected EXCEPT ALL TABLE found) x)) d LIMIT 10));
    return is($differences, '', $what);
}

# What is to count as unread: the legacy number, as far as there are messages for it.
my $find_unread = q(
    UPDATE testing.legacy t
       SET unread = least(greatest(t.unread_count, 0),
                          (SELECT count(*) FROM im.message m
                            WHERE m.channel_id = t.channel_id AND m.sender_id <> t.user_id AND m.sent_at >= t.opened_at
                              AND m.deleted_at = 0 AND m.message_type <> 'system'))
     WHERE t.reason IS NULL AND t.unread IS NULL;
    UPDATE testing.legacy SET unread = 0 WHERE reason IS NULL AND unread IS NULL;
    INSERT INTO testing.remark SELECT id, channel_id, 'unread_count differs' FROM testing.legacy
     WHERE in_legacy AND reason IS NULL AND shown AND unread_count <> unread);
my $digests = q(
    SELECT t.message_id, t.channel_id, max(t.last_message_content) FROM testing.legacy t
     WHERE t.reason IS NULL AND t.channel_id % 2 = 1 AND t.message_id > 0 AND t.last_message_id = t.message_id GROUP BY 1, 2);

sub is_migrated {
    my ($database, $what) = @_;
    same_rows($database,
        q(SELECT id, channel_id, content FROM im.message WHERE channel_id % 2 = 1), $digests,
        "$what: messages: the newest last message of each channel that had none");
    $node->safe_psql($database, $find_unread);
    same_rows($database,
        q(SELECT legacy_id, user_id, channel_id, reason FROM im.hermet_migration_row
           WHERE migration_id = (SELECT min(id) FROM im.hermet_migration) AND outcome = 'not carried'),
        q(SELECT id, user_id, channel_id, reason FROM testing.legacy WHERE in_legacy AND reason <> 'left'),
        "$what: every row that is not carried is reported with its reason, and no other");
    same_rows($database,
        q(SELECT legacy_id, channel_id, reason FROM im.hermet_migration_row
           WHERE migration_id = (SELECT min(id) FROM im.hermet_migration) AND outcome = 'carried in part'),
        q(SELECT legacy_id, channel_id, reason FROM testing.remark),
        "$what: what is not as it was is reported, and nothing else");
    same_rows($database,
        q(SELECT user_id, channel_id, conversation_type::text, conversation_name, conversation_avatar, peer_user_id,
                 is_muted, is_pinned, is_hidden, opened_at, last_message_id, unread_count, closed_at > 0
            FROM im.user_conversation_view WHERE channel_id <> 3000000),
        q(SELECT user_id, channel_id, CASE WHEN is_group THEN 'group' ELSE 'single' END, name, avatar, peer,
                 muted, pinned, hidden, opened_at, message_id, unread, closed
            FROM testing.legacy WHERE reason IS NULL AND shown),
        "$what: the inbox");
    is($node->safe_psql($database, q(
        SELECT legacy_rows = done_rows, left_out = (SELECT count(*) FROM testing.legacy WHERE reason = 'left'),
               carried = (SELECT count(*) FROM testing.legacy WHERE reason IS NULL AND in_legacy),
               not_carried = (SELECT count(*) FROM testing.legacy WHERE reason <> 'left'),
               legacy_rows = (SELECT count(*) FROM legacy.user_contact), finished_at > 0
          FROM im.hermet_migration WHERE id = (SELECT min(id) FROM im.hermet_migration))), 't|t|t|t|t|t', "$what: the totals");
    is_clean($node, $database, 'im', $what);
    is($node->safe_psql($database, q(SELECT count(*) FROM pg_class WHERE relname LIKE 'hermet_migration_input%')),
        0, "$what: nothing is left of what was read");
    return;
}

# All of it in one transaction. How many there are is proved of plain tables; on partitions, that rows of each kind go where they should.
my ($scale, $least) = $ENV{SHARDS} ? (8, 10_000) : (1, 100_000);
legacy('whole', 17_600 / $scale, 2_160 / $scale);
my $rows = $node->safe_psql('whole', 'SELECT count(*) FROM legacy.user_contact');
cmp_ok($rows, '>=', $least, "the legacy table has $rows rows");
my @state = split /\n/, $node->safe_psql('whole', q(
    SELECT testing.fingerprint('im');
    BEGIN;
    SELECT count(*) FROM hermet.migrate_user_contact('legacy.user_contact');
    ROLLBACK;
    SELECT testing.fingerprint('im');));
is($state[2], $state[0], 'rolled back, it was a rehearsal');
my $reported = $node->safe_psql('whole', q(SELECT count(*) FROM hermet.migrate_user_contact('legacy.user_contact')));
is($reported, $state[1], 'the rehearsal has said the same');
is($reported, $node->safe_psql('whole', q(SELECT count(*) FROM testing.legacy WHERE reason <> 'left')),
    "it returns the $reported rows that are not carried");
is_migrated('whole', 'in one transaction');

my $before = $node->safe_psql('whole', q(SELECT testing.fingerprint('im')));
is($node->safe_psql('whole', q(SELECT count(*) FROM hermet.migrate_user_contact('legacy.user_contact'))), $reported,
    'a second run reports the same');
is($node->safe_psql('whole', q(SELECT testing.fingerprint('im'))), $before, 'and changes nothing');

# In batches. Between two that go through, each of these is in the way of one, which is cancelled, killed, or crashed
# with the server; hermet_migration is where a batch begins.
legacy('batches', 1_600, 60);
my @tables = qw(hermet_migration message conversation_setting channel_read_record channel channel_member biz_user hermet_migration_row);
my ($step, $wrong) = (0, '');
for my $way (qw(cancelled killed crashed)) {
    for my $table ($way eq 'crashed' ? qw(channel hermet_migration_row) : @tables) {
        my $session = background($node, 'batches');
        my $pid = $session->query('SELECT pg_backend_pid()');
        my $holder = background($node, 'batches');
        $holder->query_safe("BEGIN; LOCK TABLE im.$table IN EXCLUSIVE MODE");
        my $done = $node->safe_psql('batches', 'SELECT sum(done_rows) FROM im.hermet_migration');
        $session->{stdin} .= "CALL hermet.migrate_user_contact_in_batches('legacy.user_contact', 'im', 250, 0);\n";
        $session->{run}->pump_nb;
        wait_until_blocked($node, $pid);
        if ($way eq 'crashed') {
            $node->stop('immediate');
            $node->start;
        }
        else {
            $node->safe_psql('postgres', 'SELECT pg_' . ($way eq 'killed' ? 'terminate' : 'cancel') . "_backend($pid)");
            $node->poll_query_until('batches', "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND state = 'active')");
        }
        # psql of a backend that is gone has ended, or does not know it yet.
        eval { $_->{run}->kill_kill } for $session, $holder;
        $node->poll_query_until('batches', "SELECT NOT EXISTS (SELECT FROM pg_locks l WHERE l.relation = 'im.$table'::regclass AND l.mode = 'ExclusiveLock')");
        $wrong .= " $way $table" if $done ne $node->safe_psql('batches', 'SELECT sum(done_rows) FROM im.hermet_migration');
        $step++ if $node->safe_psql('batches', q(SELECT hermet.migrate_step(hermet.migrate_begin('legacy.user_contact', 'im'), 'im', 250))) eq 't';
    }
}
is($wrong, '', 'an interrupted batch leaves nothing');
is($step, 18, 'and the next call goes on');
is($node->safe_psql('batches', 'SELECT count(*), sum(finished_at) FROM im.hermet_migration'), '1|0', 'it is one migration, and not finished');
my ($status, $out, $notices) = $node->psql('batches', q(CALL hermet.migrate_user_contact_in_batches('legacy.user_contact', batch_rows => 250, notice_seconds => 0)));
like($notices, qr/NOTICE:  migration of legacy\.user_contact: \d+ of \d+ rows\n/, 'progress is told');
is_migrated('batches', 'in batches, interrupted');
$before = rows($node, 'batches', 'im');
$node->safe_psql('batches', q(CALL hermet.migrate_user_contact_in_batches('legacy.user_contact', batch_rows => 333)));
ok(rows($node, 'batches', 'im') eq $before, 'a second run in batches changes nothing');

# Beside applications that write the very same rows: one of two that deadlock calls again.
new_database($node, 'live');
new_instance($node, 'live', 'im');
$node->safe_psql('live', q(
    CREATE SCHEMA legacy;
    CREATE TABLE legacy.user_contact AS
    SELECT 5000 + c * 100 + u AS id, u::bigint AS user_id, c::bigint AS channel_id, CASE WHEN c > 100 THEN 'single' ELSE 'group' END AS contact_type, 'name' AS contact_name,
           '' AS contact_avatar, CASE WHEN c > 100 THEN CASE u WHEN c - 100 THEN 9 ELSE c - 100 END END::bigint AS peer_user_id, 3 AS unread_count,
           u % 2 = 0 AS is_muted, false AS is_pinned, false AS is_hidden, 1000::bigint AS joined_at, 0::bigint AS left_at, 1000::bigint AS created_at, 1000::bigint AS updated_at
      FROM (SELECT c FROM generate_series(1, 15) c UNION ALL SELECT generate_series(101, 108)) c,
           generate_series(1, 9) u WHERE c < 100 OR u IN (c - 100, 9);));
my $load = start_load($node, 'live', 'im', 4, $seed);
my $rounds = 0;
for my $round (1 .. 5) {
    load_goes_on($load);
    my ($status, $out, $err);
    for (1 .. 50) {
        ($status, $out, $err) = $node->psql('live',
            "\\set VERBOSITY verbose\nCALL hermet.migrate_user_contact_in_batches('legacy.user_contact', 'im', 20)");
        last if $err !~ /ERROR:  40P01:/;
        note 'deadlock, again';
    }
    $err =~ /ERROR/ ? diag($err) : $rounds++;
}
my $failed = stop_load($load);
is($rounds, 5, 'under load it goes through');
is(join(' ', grep { $_ ne '40P01' } sort keys %$failed), '', 'and so do the applications');
is_clean($node, 'live', 'im', 'under load');

$node->stop;
no_crash($node);
done_testing();
