# Behind PgBouncer, in transaction pooling: a client's next transaction may run in any session, and any client in this
# one. The triggers need nothing of a session, so everything stays right; what is of a session is said to be, and seen.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
my $node = new_server('main');
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

# Two pools of the same database: "chat" has two sessions, "narrow" one, whoever comes.
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $user = getpwuid $<;
append_to_file("$dir/users.txt", qq("$user" ""\n));
append_to_file("$dir/pgbouncer.ini", <<"INI");
[databases]
chat = host=${\ $node->host } port=${\ $node->port } dbname=chat pool_size=2
narrow = host=${\ $node->host } port=${\ $node->port } dbname=chat pool_size=1
[pgbouncer]
pool_mode = transaction
listen_addr =
listen_port = $port
unix_socket_dir = $dir
auth_type = trust
auth_file = $dir/users.txt
admin_users = $user
logfile = $dir/pgbouncer.log
pidfile = $dir/pgbouncer.pid
INI
my ($out, $err) = ('', '');
my $pooler = IPC::Run::start([ 'pgbouncer', '-q', "$dir/pgbouncer.ini" ], '<', \undef, '>', \$out, '2>', \$err);
sub through { my ($database) = @_; return "host=$dir port=$port dbname=$database" }
# What psql says, through the pool; a client of its own each time.
sub ask {
    my ($database, $sql) = @_;
    my ($said, $errors);
    IPC::Run::run([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', through($database), '-f', '-' ], '<', \$sql, '>', \$said, '2>', \$errors)
      or diag $errors;
    chomp $said;
    return $said;
}
sub bench {
    my ($name, $script, @options) = @_;
    append_to_file("$dir/$name.sql", $script);
    return [ 'pgbench', '-n', '-f', "$dir/$name.sql", @options, through('chat') ];
}
for (1 .. 300) {
    last if -S "$dir/.s.PGSQL.$port";
    $pooler->pump_nb;
    die "pgbouncer ended: $err" if !$pooler->pumpable;
    select undef, undef, undef, 0.1;
}
my ($version) = ask('pgbouncer', 'SHOW VERSION') =~ /(\d+\.\d+)/;
note "PgBouncer $version";
my ($major, $minor) = split /\./, $version;

# Sixteen clients in two sessions: ids, sends, marks, members, settings and renames, also several in a transaction.
$node->safe_psql('chat', 'CREATE TABLE ids (id bigint PRIMARY KEY)');
my $work = <<'SQL';
\set c random(1, 20)
\set u random(1, 20)
\set s random(100, 120)
BEGIN;
INSERT INTO im.message (id, channel_id, sender_id, content, mention_user_ids) VALUES (hermet.next_id(:c), :c, :u, 'pooled', ARRAY[:u, 3]);
INSERT INTO im.channel_read_record AS r (id, user_id, channel_id, last_read_message_id) VALUES (hermet.next_id(:u), :u, :c, hermet.next_id(:c))
    ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
COMMIT;
INSERT INTO ids SELECT hermet.next_id(:c) FROM generate_series(1, 5);
INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (hermet.next_id(:c), :c, :u)
    ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = 5000 - channel_member.left_at;
INSERT INTO im.conversation_setting AS s (user_id, channel_id, is_pinned) VALUES (:u, :c, true)
    ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = NOT s.is_pinned;
UPDATE im.biz_user SET nickname = 'user ' || :s WHERE id = :u;
SELECT count(*) FROM hermet.conversation_list(:u);
SQL
for my $mode (qw(simple extended)) {
    command_ok(bench($mode, $work, '-M', $mode, '-c', 16, '-j', 2, '-t', 30, '--max-tries=100'), "sixteen clients, protocol $mode");
    is_clean($node, 'chat', 'im', "protocol $mode");
}
is($node->safe_psql('chat', 'SELECT count(*) FROM ids'), 2 * 16 * 30 * 5, 'ids are unique over all of them');
cmp_ok($node->safe_psql('chat', q(
    SELECT count(*) FROM pg_stat_activity WHERE datname = 'chat' AND backend_type = 'client backend' AND pid <> pg_backend_pid())),
    '<=', 3, 'they were in two sessions');

# Named prepared statements are of a session; PgBouncer keeps track of them from 1.21 on.
SKIP: {
    skip 'this PgBouncer keeps track of prepared statements', 1 if $major > 1 || $minor >= 21;
    my $errors;
    IPC::Run::run(bench('prepared', 'INSERT INTO ids SELECT hermet.next_id() FROM pg_sleep(0.01)', '-M', 'prepared', '-c', 16, '-t', 2),
        '>', \my $said, '2>', \$errors);
    like($errors, qr/prepared statement "\w+" already exists/, 'prepared statements of several clients meet');
}
is_clean($node, 'chat', 'im', 'after prepared statements that met');

# What a client sets stays in the session, for whoever comes next. The triggers do not care.
ask('narrow', q(SET search_path = nowhere; SET bytea_output = 'escape'; SET enable_indexscan = off; SET default_transaction_isolation = 'repeatable read'));
is(ask('narrow', 'SHOW search_path'), 'nowhere', 'what a client has set, another finds');
ask('narrow', q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (8000000000000000001, 2, 2, 'in a strange session');
    UPDATE im.biz_user SET nickname = 'strange' WHERE id = 2));
is_clean($node, 'chat', 'im', 'in a session with strange settings');
# For a transaction they are the client's own: so the policies' example works.
is(ask('narrow', q(BEGIN; SET LOCAL application_name = 'mine'; SELECT current_setting('application_name'); COMMIT)), 'mine', 'SET LOCAL is within a transaction');
isnt(ask('narrow', q(SELECT current_setting('application_name'))), 'mine', 'and no longer');

# Rebuilds hold locks of their session and commit on the way: one CALL is one client's, to its end.
for my $time (1, 2) {
    command_ok([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', through('chat'), '-c', $_ ], "$_, time $time")
      for q(CALL hermet.rebuild_conversation_view('im', batch_size => 50)), q(CALL hermet.rebuild_contact_view('im'));
}
is($node->safe_psql('chat', q(SELECT count(*) FROM hermet.progress WHERE state <> 'finished')), 0, 'rebuilds are finished');

# A bulk load is of its session, which is the next client's as well: what he writes is not maintained. That is seen.
ask('narrow', q(SELECT hermet.begin_bulk_load('im')));
ask('narrow', q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (8000000000000000002, 1, 1, 'somebody else''s')));
is($node->safe_psql('chat', q(SELECT count(*) FROM im.user_conversation_view WHERE last_message_content = 'somebody else''s')), 0,
    'a bulk load through the pool swallows what others write');
like(health($node, 'chat', 'im'), qr/^bulk load open\|/m, 'health says so');
ask('chat', q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (8000000000000000003, 3, 1, 'in another session')));
isnt($node->safe_psql('chat', q(SELECT count(*) FROM im.user_conversation_view WHERE last_message_content = 'in another session')), 0,
    'who comes into another session is maintained');
ask('narrow', q(SELECT hermet.end_bulk_load('im')));
like(health($node, 'chat', 'im'), qr/^bulk load not checked\|/m, 'health goes on saying so');
ask('narrow', q(CALL hermet.rebuild_conversation_view('im')));
is_clean($node, 'chat', 'im', 'after the rebuild');
$node->safe_psql('chat', q(SELECT * FROM hermet.consistency_summary('im')));
is(health($node, 'chat', 'im'), '', 'healthy after the rebuild and a check');

$pooler->signal('INT');
$pooler->finish;
no_crash($node);
$node->stop;
done_testing();
