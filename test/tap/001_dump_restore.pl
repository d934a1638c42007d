# A dump restored into an empty database is an instance again: same rows, same triggers, no step more.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my @schemas = ('im', 'The "second" one');
my $node = new_server('main');
my $dump = $node->backup_dir . '/everything.dump';
mkdir $node->backup_dir;

new_database($node, 'source');
for my $schema (@schemas) {
    new_instance($node, 'source', $schema);
    fill($node, 'source', $schema);
    is_clean($node, 'source', $schema, 'before the dump');
}
# The owner may add to the tables, and a dump carries that too.
$node->safe_psql('source', q(
    ALTER TABLE im.message ADD COLUMN flavour text NOT NULL DEFAULT 'plain';
    CREATE INDEX message_flavour_idx ON im.message (flavour);
));

sub triggers {
    my ($database) = @_;
    return $node->safe_psql($database, q(
        SELECT tgrelid::regclass, tgname, tgenabled, pg_get_triggerdef(oid)
          FROM pg_trigger WHERE NOT tgisinternal
         ORDER BY tgrelid::regclass::text COLLATE "C", tgname));
}

command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('source') ], 'pg_dump -Fc');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
my ($out, $err) = run_command([ 'pg_restore', '-j2', '-d', $node->connstr('restored'), $dump ]);
is($err, '', 'pg_restore -j2 has nothing to complain about');

is($node->safe_psql('restored', 'SELECT target FROM hermet.instances() ORDER BY 1'),
    $node->safe_psql('source', 'SELECT target FROM hermet.instances() ORDER BY 1'),
    'the same instances are found');
like(triggers('restored'), qr/hermet_guard/, 'there are triggers');
is(triggers('restored'), triggers('source'), 'the triggers are the same');
for my $schema (@schemas) {
    my @tables = tables($node, 'source', $schema);
    cmp_ok(scalar @tables, '>=', 12, "$schema has tables");
    ok(contents($node, 'restored', $schema) eq contents($node, 'source', $schema),
        "every row of $schema is the same, times of change too");
    is_clean($node, 'restored', $schema, 'after the restore');
}

# It lives on: what is written now is kept up, in one instance without the other.
my $other = contents($node, 'restored', $schemas[1]);
is($node->safe_psql('restored', q(
        INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (20001, 101, 1, 'are you there?');
        SELECT last_message_content, unread_count FROM im.user_conversation_view
         WHERE channel_id = 101 AND user_id = 2)),
    $node->safe_psql('source', q(
        SELECT 'are you there?', unread_count + 1 FROM im.user_conversation_view
         WHERE channel_id = 101 AND user_id = 2)),
    'a message reaches the inbox');
$node->safe_psql('restored', q(
    UPDATE im.biz_user SET nickname = 'renamed' WHERE id = 2;
    DELETE FROM im.channel_member WHERE channel_id = 4;
    UPDATE im.friendship SET remark_name = 'again' WHERE user_id = 3));
is_clean($node, 'restored', 'im', 'after further writes');
ok($other eq contents($node, 'restored', $schemas[1]), 'the other instance is untouched');
sql_fails($node, 'restored', 'UPDATE im.user_conversation_view SET unread_count = 0', '42809',
    'a write to the read side by hand');
sql_fails($node, 'restored', 'DROP EXTENSION hermet', '2BP01', 'DROP EXTENSION while there are instances');

# A dump of the write side's rows alone fills an empty instance, whatever order they come in.
my $rows = $node->backup_dir . '/rows.dump';
new_database($node, 'refilled');
new_instance($node, 'refilled', 'im');
$node->safe_psql('refilled', q(ALTER TABLE im.message ADD COLUMN flavour text));
command_ok(
    [
        'pg_dump', '-Fc', '-a', '-n', 'im', '-T', 'im.*_view', '-T', 'im.*_reverse_index', '-T', 'im.*_(view|reverse_index)_*',
        '-T', 'im.hermet_*', '-f', $rows, $node->connstr('source')
    ],
    'pg_dump -a of the write side');
command_ok([ 'pg_restore', '-d', $node->connstr('refilled'), $rows ], 'its rows go into an empty instance');
is_clean($node, 'refilled', 'im', 'after loading rows');
is($node->safe_psql('refilled', 'SELECT count(*), sum(unread_count) FROM im.user_conversation_view'),
    $node->safe_psql('source', 'SELECT count(*), sum(unread_count) FROM im.user_conversation_view'),
    'the inboxes are those of the source');

$node->stop;
done_testing();
