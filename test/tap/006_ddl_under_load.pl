# Somebody drops, renames or alters an instance's tables while others write. Then writes fail with a clear
# and standard error or go on rightly, nothing crashes, and hermet.upgrade(), attach() or a rename back mends it.
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

# What others may get while something is missing or is being changed; 40P01 as the DDL takes several tables.
my %expected = map { $_ => 1 } qw(42P01 42703 3F000 55000 39P01 42501 40P01);
my $load = start_load($node, 'chat', 'im', 4, $seed);
my $message = 80000;

# A send outside of the load's channels, which fails as said.
sub send_fails {
    my ($what, $sqlstate, $message_like, $schema) = @_;
    $message++;
    my ($status, $out, $err) = $node->psql('chat',
        '\set VERBOSITY verbose' . "\nINSERT INTO " . ($schema || 'im') . ".message (id, channel_id, sender_id) VALUES ($message, 25, 19)",
        on_error_stop => 1);
    return like($err, qr/ERROR:  $sqlstate: .*$message_like/s, "$what: a send fails with $sqlstate");
}

sub send_arrives {
    my ($what, $schema) = @_;
    $message++;
    $schema ||= 'im';
    return is($node->safe_psql('chat', qq(
            INSERT INTO $schema.message (id, channel_id, sender_id, content) VALUES ($message, 25, 19, 'sent');
            SELECT DISTINCT last_message_id FROM $schema.user_conversation_view WHERE channel_id = 25)),
        $message, "$what: a send arrives");
}

sub is_healthy {
    my ($what) = @_;
    load_goes_on($load);
    $message++;
    return is($node->safe_psql('chat', qq(
            INSERT INTO im.message (id, channel_id, sender_id, content) VALUES ($message, 25, 19, 'sent');
            SELECT DISTINCT last_message_id FROM im.user_conversation_view WHERE channel_id = 25;
            SELECT left(c, 300) FROM testing.clean('im') c LIMIT 10;
            SELECT problem, object FROM hermet.health('im');)),
        $message, "$what: healthy, a send arrives, the read side is right");
}

# A table of the read side is gone: hermet.upgrade() makes it anew, and fills it.
retried($node, 'chat', 'DROP TABLE im.contact_reverse_index');
load_goes_on($load);
send_fails('a dropped table', '42P01', 'contact_reverse_index.*HINT:.* hermet.upgrade');
like(health($node, 'chat', 'im'), qr/^table missing\|im.contact_reverse_index$/m, 'a dropped table: health reports it');
sql_fails($node, 'chat', q(SELECT hermet.repair('im')), '42P01', 'a dropped table: repair');
retried($node, 'chat', q(SELECT hermet.upgrade('im')));
is_healthy('a table made anew');

# One of the write side, with what it held.
retried($node, 'chat', 'DROP TABLE im.conversation_setting');
load_goes_on($load);
send_fails('a dropped table of the write side', '42P01', 'conversation_setting');
# What it held is lost, so nobody makes it anew unasked.
sql_fails($node, 'chat', q(SELECT hermet.upgrade('im')), '42P01', 'a dropped table of the write side: upgrade');
retried($node, 'chat', q(BEGIN; SELECT hermet.detach('im'); SELECT hermet.attach('im'); COMMIT));
is_healthy('a table of the write side made anew');

# Columns and indexes of the owner's own disturb nobody.
retried($node, 'chat', q(ALTER TABLE im.message ADD COLUMN own_text text NOT NULL DEFAULT 'x'));
retried($node, 'chat', q(ALTER TABLE im.user_conversation_view ADD COLUMN own_text text DEFAULT 'y'));
retried($node, 'chat', q(BEGIN; ALTER TABLE im.biz_user ADD COLUMN own_number int; ALTER TABLE im.biz_user DROP COLUMN own_number; COMMIT));
retried($node, 'chat', q(CREATE INDEX own_index ON im.user_conversation_view (user_id, own_text)));
is_healthy('a column of the owner');
if ($ENV{SHARDS}) {
    # As the docs have it: of the table alone, then of each partition.
    retried($node, 'chat', 'CREATE INDEX own_index2 ON ONLY im.user_conversation_view (channel_id, last_message_id)');
    for my $leaf (partitions($node, 'chat', 'im', 'user_conversation_view')) {
        $node->safe_psql('chat', "CREATE INDEX CONCURRENTLY ${leaf}_own2 ON im.$leaf (channel_id, last_message_id)");
        retried($node, 'chat', "ALTER INDEX im.own_index2 ATTACH PARTITION im.${leaf}_own2");
    }
    is($node->safe_psql('chat', q(SELECT indisvalid FROM pg_index WHERE indexrelid = 'im.own_index2'::regclass)), 't', 'the index is of all partitions');
} else {
    $node->safe_psql('chat', q(CREATE INDEX CONCURRENTLY own_index2 ON im.user_conversation_view (channel_id, last_message_id)));
}
is_healthy('an index of the owner, made while others write');
retried($node, 'chat', q(BEGIN; ALTER TABLE im.user_conversation_view DROP COLUMN own_text; DROP INDEX im.own_index2; COMMIT));
retried($node, 'chat', q(VACUUM FULL im.user_conversation_view));
is_healthy('rewritten');

# A column, a table, the schema has another name for a while.
retried($node, 'chat', 'ALTER TABLE im.channel_member RENAME COLUMN nickname TO called');
load_goes_on($load);
send_fails('a renamed column', '42703', 'nickname');
retried($node, 'chat', 'ALTER TABLE im.channel_member RENAME COLUMN called TO nickname');
is_healthy('a column renamed back');

for my $table (qw(user_contact_view message)) {
    retried($node, 'chat', "ALTER TABLE im.$table RENAME TO elsewhere");
    load_goes_on($load);
    send_fails("$table renamed", '42P01', $table);
    retried($node, 'chat', "ALTER TABLE im.elsewhere RENAME TO $table");
    is_healthy("$table renamed back");
}
retried($node, 'chat', 'ALTER TABLE im.message RENAME TO elsewhere');
sql_fails($node, 'chat', 'INSERT INTO im.elsewhere (id, channel_id, sender_id) VALUES (1, 25, 19)', '39P01', 'a send to a renamed table');
retried($node, 'chat', 'ALTER TABLE im.elsewhere RENAME TO message');

retried($node, 'chat', 'ALTER TABLE im.user_conversation_view SET SCHEMA testing');
load_goes_on($load);
send_fails('a table in another schema', '42P01', 'user_conversation_view');
retried($node, 'chat', 'ALTER TABLE testing.user_conversation_view SET SCHEMA im');
is_healthy('a table in its schema again');

retried($node, 'chat', q(ALTER SCHEMA im RENAME TO "i'm"));
load_goes_on($load);
send_arrives('the schema renamed', q("i'm"));
is_clean($node, 'chat', q(i'm), 'the schema renamed');
retried($node, 'chat', q(ALTER SCHEMA "i'm" RENAME TO im));
is_healthy('the schema renamed back');

# One of the tables has another owner.
$node->safe_psql('chat', 'CREATE ROLE regress_other; GRANT USAGE ON SCHEMA im TO regress_other');
retried($node, 'chat', 'ALTER TABLE im.user_contact_view OWNER TO regress_other');
load_goes_on($load);
send_fails('two owners', '55000', 'different owners');
sql_fails($node, 'chat', q(SELECT hermet.upgrade('im')), '55000', 'two owners: upgrade');
retried($node, 'chat', 'ALTER TABLE im.user_contact_view OWNER TO CURRENT_USER');
is_healthy('one owner');

# A trigger is disabled, or gone: what is written meanwhile drifts, is reported, and is mended at once.
retried($node, 'chat', 'ALTER TABLE im.message DISABLE TRIGGER hermet_after_insert');
load_goes_on($load);
$node->safe_psql('chat', 'INSERT INTO im.message (id, channel_id, sender_id) VALUES (90001, 25, 19)');
like(health($node, 'chat', 'im'), qr/^trigger disabled\|im.message.hermet_after_insert$/m, 'a disabled trigger: health reports it');
isnt($node->safe_psql('chat', q(SELECT count(*) FROM hermet.check_consistency('im'))), 0, 'a disabled trigger: the check sees what it led to');
retried($node, 'chat', q(SELECT hermet.upgrade('im')));
$message = 90001;
is_healthy('a trigger made anew');
retried($node, 'chat', 'BEGIN; DROP TRIGGER hermet_after_update ON im.biz_user; DROP TRIGGER hermet_guard ON im.user_conversation_view; COMMIT');
load_goes_on($load);
is(health($node, 'chat', 'im'), join("\n", 'trigger missing|im.biz_user.hermet_after_update', 'trigger missing|im.user_conversation_view.hermet_guard'),
    'dropped triggers: health reports them');
retried($node, 'chat', q(SELECT hermet.upgrade('im')));
is_healthy('triggers made anew');

# The extension itself is dropped: applications go on writing, and attach() catches up.
my $rows = $node->safe_psql('chat', 'SELECT count(*) FROM im.channel_member');
sql_fails($node, 'chat', 'DROP EXTENSION hermet', '2BP01', 'DROP EXTENSION without CASCADE');
retried($node, 'chat', 'DROP EXTENSION hermet CASCADE');
load_goes_on($load);
is($node->safe_psql('chat', q(
        INSERT INTO im.message (id, channel_id, sender_id) VALUES (95001, 25, 19);
        SELECT count(*) FROM pg_trigger WHERE tgrelid = 'im.message'::regclass AND NOT tgisinternal)),
    0, 'without the extension: writes go on, without triggers');
cmp_ok($node->safe_psql('chat', 'SELECT count(*) FROM im.channel_member'), '>=', $rows, 'without the extension: all rows are there');
$node->safe_psql('chat', 'CREATE EXTENSION hermet');
retried($node, 'chat', q(SELECT hermet.attach('im')));
$message = 95001;
is_healthy('the extension is back');

# A table is emptied, and the instance's numbers right, whoever writes.
retried($node, 'chat', 'TRUNCATE im.channel_read_record');
is_healthy('a table emptied');

my $failed = stop_load($load);
my @unexpected = grep { !$expected{$_} } sort keys %$failed;
is("@unexpected", '', 'those who wrote got standard errors only');
is_clean($node, 'chat', 'im', 'at the end');
is($node->safe_psql('chat', 'SELECT count(*) FROM im.hermet_incident'), 0, 'no row had to be recomputed');
no_crash($node);
$node->stop;
done_testing();
