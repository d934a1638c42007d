# A database whose extension and instance 0.1.0 made is brought to this version, under load. Then it is compared object by
# object with one that was created fresh, and with what dumps of both give when they are restored. With SHARDS the fresh one is
# sharded; what 0.1.0 made was plain, and is spread as wide once it is upgraded.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use Objects;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || time;
note "SEED=$seed";
my $node = new_server('main', "deadlock_timeout = '100ms'\n");
mkdir $node->backup_dir;

# As new_database() does it, with the extension of 0.1.0. (The rules of the tests speak of a table that its instances have not.)
sub old_database {
    my ($name) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    my $setup = slurp_file($ENV{HERMET_SETUP});
    $setup =~ s/CREATE EXTENSION hermet;/CREATE EXTENSION hermet VERSION '0.1.0';/ or die 'no CREATE EXTENSION';
    $setup =~ s/@\.hermet_large_inbox b/(SELECT 0::bigint AS user_id) b/ or die 'no large inbox';
    $node->safe_psql($name, $setup);
    new_instance($node, $name, 'im');
    # The library is today's, and writes its own version down.
    $node->safe_psql($name, q(UPDATE im.hermet_instance SET version = '0.1.0'));
    return;
}

sub new_rules {
    my ($name) = @_;
    my ($rules) = slurp_file($ENV{HERMET_SETUP}) =~ /(CREATE FUNCTION testing\.rules.*?\$func\$;)/s or die 'no rules';
    $rules =~ s/^CREATE/CREATE OR REPLACE/;
    $node->safe_psql($name, $rules);
    return;
}

sub version_of {
    my ($database) = @_;
    return $node->safe_psql($database, q(SELECT extversion FROM pg_extension WHERE extname = 'hermet'));
}

sub dump_and_restore {
    my ($from, $to) = @_;
    my $dump = $node->backup_dir . "/$from.dump";
    command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($from) ], "pg_dump of $from");
    $node->safe_psql('postgres', "CREATE DATABASE $to");
    my ($out, $err) = run_command([ 'pg_restore', '-j2', '-d', $node->connstr($to), $dump ]);
    is($err, '', "pg_restore -j2 into $to has nothing to complain about");
    return;
}

# An instance that was upgraded becomes as a fresh one is made here.
sub spread_as_fresh {
    my ($database) = @_;
    return unless $ENV{SHARDS};
    retried($node, $database, "SELECT hermet.reshard('im', $ENV{SHARDS})");
    return is($node->safe_psql($database, q(SELECT concat_ws(',', channel_shards, user_shards) FROM hermet.shard_counts('im'))), $ENV{SHARDS},
        "$database: in as many partitions as a fresh one");
}

sub writes {
    my ($database) = @_;
    $node->safe_psql($database, q(
        INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (hermet.next_id(), 1, 1, 'to all'), (hermet.next_id(), 101, 2, 'to one');
        UPDATE im.biz_user SET nickname = nickname || '!' WHERE id IN (1, 2);
        DELETE FROM im.channel_member WHERE channel_id = 2 AND user_id = 5;
        INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (hermet.next_id(), 2, 5);
        UPDATE im.friendship SET remark_name = remark_name || '!' WHERE user_id = 4;
        UPDATE im.channel SET channel_status = 'archived' WHERE id = 3;
        UPDATE im.channel SET channel_status = 'active' WHERE id = 3;
        INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id) VALUES (hermet.next_id(), 2, 1, 500)
            ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;));
    return;
}

sub writes_work {
    my ($database, $what) = @_;
    writes($database);
    return is_clean($node, $database, 'im', $what);
}

new_database($node, 'fresh');
new_instance($node, 'fresh', 'im');
my $new = $node->safe_psql('fresh', 'SELECT hermet.version()');
fill($node, 'fresh', 'im');
is(version_of('fresh'), $new, "a fresh database has $new");
my $extension = extension_objects($node, 'fresh');
my $instance = instance_objects($node, 'fresh', 'im');
my $n_distinct = $ENV{SHARDS} ? 'n_distinct_inherited' : 'n_distinct';
like(join("\n", @$instance), qr/^column im\.user_conversation_view\.user_id options .*\b$n_distinct=-0\.005/m, 'and tells the planner what it cannot see');

###################################################################################################
# The library of this version under all that 0.1.0 made.

old_database('old');
fill($node, 'old', 'im');
is(version_of('old'), '0.1.0', 'the old database has 0.1.0');
{
    my %expected = map { $_ => 1 } @$extension, @$instance;
    my @other = grep { !$expected{$_} } @{ extension_objects($node, 'old') }, @{ instance_objects($node, 'old', 'im') };
    cmp_ok(scalar(grep { /^function/ } @other), '>', 0, 'its functions are others');
    cmp_ok(scalar(grep { /^(column|relation|index)/ } @other), '>', 0, 'and its instance is another');
}
is_clean($node, 'old', 'im', 'filled by 0.1.0');
writes_work('old', 'written with the functions of 0.1.0');

# Every function of 0.1.0 answers, or refuses in the server's manner.
is(health($node, 'old', 'im'), "extension of another version|hermet\ninstance of another version|im", 'health of 0.1.0');
my @calls = (
    'SELECT * FROM hermet.instances()', 'SELECT * FROM hermet.resolve_target(NULL)',
    'SELECT hermet.version(), hermet.now_ms() > 0, hermet.id_shard(hermet.next_id(5)), hermet.id_time(hermet.next_id())',
    (map { "SELECT hermet.definition('$_')" }
        qw(user_conversation_view user_contact_view conversation_reverse_index contact_reverse_index channel)),
    'SELECT * FROM hermet.check_consistency()', q(SELECT * FROM hermet.check_consistency('im', 'channel', 3, 0.5)),
    'SELECT * FROM hermet.consistency_summary()', q(SELECT * FROM hermet.consistency_summary('im', 'user_contact_view', 3, 0.5)),
    'SELECT * FROM hermet.explain_conversation(1, 1)', 'SELECT * FROM hermet.repair_conversation_view(1)',
    'SELECT * FROM hermet.repair_contact_view(1)', 'SELECT * FROM hermet.repair_channel(1)', 'SELECT * FROM hermet.repair()',
    'SELECT hermet.attach(schema_name::name) FROM information_schema.schemata WHERE false',
    "SELECT hermet.detach('im')", "SELECT hermet.detach('im'); SELECT hermet.attach('im')", "SELECT hermet.upgrade('im')",
    "SELECT hermet.create_tables('other'); DROP SCHEMA other CASCADE",
);
for my $call (@calls) {
    my ($status, $out, $err) = $node->psql('old', "BEGIN; $call; ROLLBACK", on_error_stop => 1);
    is($status, 0, "0.1.0: $call") or diag($err);
}
# Planted drift is found, explained and mended, from 0.1.0's functions too.
$node->safe_psql('old', q(SELECT testing.plant('UPDATE im.user_conversation_view SET unread_count = 77 WHERE user_id = 2 AND channel_id = 1')));
is($node->safe_psql('old', q(SELECT problem, column_name, actual FROM hermet.check_consistency())), 'stale|unread_count|77', 'drift is found');
is($node->safe_psql('old', q(SELECT item FROM hermet.explain_conversation(2, 1) WHERE reason = 'STALE')), 'unread_count', 'and explained');
is($node->safe_psql('old', q(SELECT table_name, updated FROM hermet.repair() WHERE updated > 0)), 'user_conversation_view|1', 'and mended');
is_clean($node, 'old', 'im', 'mended with the functions of 0.1.0');
# A read side emptied, too.
$node->safe_psql('old', q(SELECT testing.plant('TRUNCATE im.user_conversation_view, im.user_contact_view, im.conversation_reverse_index, im.contact_reverse_index')));
cmp_ok($node->safe_psql('old', q(SELECT sum(inserted) FROM hermet.repair())), '>', 100, 'an empty read side is filled');
is_clean($node, 'old', 'im', 'filled anew');

###################################################################################################
# A dump of 0.1.0 restored has today's extension and an instance of 0.1.0.

dump_and_restore('old', 'moved');
is(version_of('moved'), $new, "restored from 0.1.0: the extension is $new");
my $older = health($node, 'moved', 'im');
is(join(' ', grep { !/^(column missing|table missing)\|im\.|^instance of another version\|im$/ } split /\n/, $older), '', 'health says what the instance lacks');
like($older, qr/column missing\|im.user_conversation_view.list_hour\n(.*\n)*instance of another version\|im\n(.*\n)*table missing\|im.hermet_large_inbox/, 'health names a column, the version, a table');
writes_work('moved', 'an old instance under the new extension');
cmp_ok($node->safe_psql('moved', q(SELECT count(*) FROM hermet.conversation_list(1, 5))), '==', 5, 'a page of the inbox');
is($node->safe_psql('moved', q(SELECT count(*) FROM hermet.conversation_list(1, 5, (SELECT cursor FROM hermet.conversation_list(1, 1))))),
    5, 'and the next one');
# What needs what is not there yet says so.
for my $sql ('SELECT hermet.order_inboxes()', 'SELECT hermet.enable_events()', 'SELECT hermet.begin_bulk_load()',
    'CALL hermet.rebuild_conversation_view()', 'CALL hermet.rebuild_contact_view()', 'SELECT hermet.set_rollout(50, true)')
{
    my ($status, $out, $err) = $node->psql('moved', $sql);
    like($err, qr/ERROR: .*\n(DETAIL: .*\n)?HINT: .*hermet\.upgrade\(\)/, "has to wait: $sql");
}
$node->safe_psql('moved', q(SELECT hermet.upgrade('im')));
new_rules('moved');
is(health($node, 'moved', 'im'), '', 'after hermet.upgrade(): healthy');
spread_as_fresh('moved');
same_objects(extension_objects($node, 'moved'), $extension, 'restored from 0.1.0, then upgraded: the extension is a fresh one');
same_objects(instance_objects($node, 'moved', 'im'), $instance, 'restored from 0.1.0, then upgraded: the instance is a fresh one');
writes_work('moved', 'restored and upgraded');

###################################################################################################
# The upgrade under load, and under a session that has used the old version all the time.

my $veteran = background($node, 'old');
$veteran->query_safe('SET search_path = im');
$veteran->query_safe(q(PREPARE send AS INSERT INTO message (id, channel_id, sender_id, content) VALUES ($1, 25, 19, $2)));
$veteran->query_safe(q(PREPARE list AS SELECT last_message_content FROM user_conversation_view WHERE user_id = 17 AND channel_id = 25));
$veteran->query_safe(q(PREPARE enter AS INSERT INTO channel_member (id, channel_id, user_id) VALUES ($1, 25, $2)));
my $sent = 0;

sub veteran_writes {
    my ($when) = @_;
    $sent++;
    $veteran->query_safe("EXECUTE send(hermet.next_id(), 'number $sent')");
    is($veteran->query('EXECUTE list'), "number $sent", "$when: a session that was there before writes");
    $veteran->query_safe("INSERT INTO biz_user (id, nickname) VALUES (1000 + $sent, 'newcomer')");
    $veteran->query_safe("EXECUTE enter(hermet.next_id(), 1000 + $sent)");
    return is($veteran->query("SELECT count(*) FROM user_conversation_view WHERE user_id = 1000 + $sent"), 1, "$when: and takes members in");
}

veteran_writes('before') for 1 .. 7; # its plans are generic by now
my $load = start_load($node, 'old', 'im', 3, $seed);
retried($node, 'old', 'ALTER EXTENSION hermet UPDATE');
is(version_of('old'), $new, "ALTER EXTENSION UPDATE leads to $new");
same_objects(extension_objects($node, 'old'), $extension, 'the extension is as a fresh one');
veteran_writes('after ALTER EXTENSION');
load_goes_on($load);
is(health($node, 'old', 'im'), $older, 'the extension is new, the instance old: health says so');
is($node->safe_psql('old', 'SELECT count(*) FROM hermet.check_consistency()'), 0, 'and its read side is right');

retried($node, 'old', q(SELECT hermet.upgrade('im')));
new_rules('old');
veteran_writes('after hermet.upgrade()');
load_goes_on($load);
is(health($node, 'old', 'im'), '', 'after hermet.upgrade(): healthy');
spread_as_fresh('old');
same_objects(instance_objects($node, 'old', 'im'), $instance, 'the instance is as a fresh one');
# What only the new one can do.
retried($node, 'old', 'SELECT hermet.order_inboxes(NULL, 5)');
veteran_writes('with inboxes in order');
load_goes_on($load);
my $failed = stop_load($load);
is(join(' ', grep { $_ ne '40P01' } sort keys %$failed), '', 'those who wrote meanwhile noticed nothing, but a deadlock with the upgrade');
cmp_ok($node->safe_psql('old', 'SELECT count(*) FROM im.user_conversation_view WHERE list_hour > 0'), '>', 0, 'there are large inboxes');
$veteran->quit;
writes_work('old', 'upgraded under load');
is($node->safe_psql('old', q(SELECT extversion, (SELECT version FROM im.hermet_instance) FROM pg_extension WHERE extname = 'hermet')),
    "$new|$new", 'both are of the new version');

# Once more changes nothing.
$node->safe_psql('old', q(SELECT hermet.upgrade('im')));
same_objects(instance_objects($node, 'old', 'im'), $instance, 'hermet.upgrade() again');
# What a user has made of the index that is retired is his.
$node->safe_psql('old', q(
    CREATE INDEX user_conversation_view_user_id_idx ON im.user_conversation_view (user_id) WHERE is_pinned;
    SELECT hermet.upgrade('im')));
like($node->safe_psql('old', q(SELECT to_regclass('im.user_conversation_view_user_id_idx'))), qr/user_id_idx/, 'an index of the owner\'s own stays');
$node->safe_psql('old', 'DROP INDEX im.user_conversation_view_user_id_idx');

# The way for large tables (user guide): what takes long beforehand, one by one, without standing in anybody's way.
old_database('prepared');
fill($node, 'prepared', 'im');
$node->safe_psql('prepared', 'ALTER EXTENSION hermet UPDATE');
$node->safe_psql('prepared', 'ALTER TABLE im.user_conversation_view ADD COLUMN list_hour bigint NOT NULL DEFAULT 0');
$node->safe_psql('prepared', 'CREATE INDEX CONCURRENTLY user_conversation_view_list_idx ON im.user_conversation_view (user_id, is_pinned, list_hour)');
writes('prepared');
is($node->safe_psql('prepared', 'SELECT count(*) FROM hermet.check_consistency()'), 0, 'half way: the read side is right');
$node->safe_psql('prepared', q(SELECT hermet.upgrade('im')));
new_rules('prepared');
spread_as_fresh('prepared');
same_objects(instance_objects($node, 'prepared', 'im'), $instance, 'prepared by hand, then upgraded');
writes_work('prepared', 'prepared by hand, then upgraded');

###################################################################################################
# With events switched on, too; and dumps of both.

$node->safe_psql($_, q(SELECT hermet.enable_events('im'))) for 'fresh', 'old';
$instance = instance_objects($node, 'fresh', 'im');
same_objects(instance_objects($node, 'old', 'im'), $instance, 'with events: the instance is as a fresh one');
$node->safe_psql('old', q(SELECT hermet.upgrade('im')));
same_objects(instance_objects($node, 'old', 'im'), $instance, 'with events: hermet.upgrade() leaves them on');
for my $from ('fresh', 'old') {
    dump_and_restore($from, "${from}_restored");
    same_objects(extension_objects($node, "${from}_restored"), $extension, "$from, restored: the extension");
    same_objects(instance_objects($node, "${from}_restored", 'im'), $instance, "$from, restored: the instance");
    ok(contents($node, "${from}_restored", 'im') eq contents($node, $from, 'im'), "$from, restored: every row");
    is(health($node, "${from}_restored", 'im'), '', "$from, restored: healthy");
    is_clean($node, "${from}_restored", 'im', "$from, restored");
    writes_work("${from}_restored", "$from, restored, written");
}
writes_work('fresh', 'fresh');

no_crash($node);
$node->stop;
done_testing();
