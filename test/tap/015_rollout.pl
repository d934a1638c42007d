# Rollout and shadow where nothing can be written or locked: on a standby and beside a lock;
# and across a dump.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('main', '', allows_streaming => 1);
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

sub lists {
    my ($server, $database) = @_;
    return $server->safe_psql($database, q(
        SELECT u, l FROM generate_series(1, 20) u, hermet.conversation_list(u, 10) l;
        SELECT u, l FROM generate_series(1, 20) u, hermet.contact_list(u, 10) l;
        SELECT u, t FROM generate_series(1, 20) u, hermet.unread_totals(u) t));
}

my $from_view = lists($node, 'chat');
like($from_view, qr/my friend/, 'there are lists');
$node->safe_psql('chat', 'SELECT hermet.set_rollout(0, true)');
ok(lists($node, 'chat') eq $from_view, 'the join gives the same');
$node->wait_for_catchup($standby);
is($standby->safe_psql('chat', 'SELECT hermet.rollout_includes(1)'), 'f', 'the standby knows of it');
ok(lists($standby, 'chat') eq $from_view, 'and gives the same lists');

# Drift: noted here, served without a word where nothing can be noted.
my $stale = q(SELECT max(unread_count) FROM hermet.conversation_list(1, 1000, include_hidden => true));
$node->safe_psql('chat', q(
    SELECT hermet.set_rollout(100, true);
    SELECT testing.plant('UPDATE im.user_conversation_view SET unread_count = 777 WHERE user_id = 1')));
$node->wait_for_catchup($standby);
is($standby->safe_psql('chat', $stale), '777', 'a standby serves what is stored');
is($node->safe_psql('chat', 'SELECT mismatches FROM hermet.rollout()'), '0', 'and notes nothing');
is($node->safe_psql('chat', $stale), '777', 'so does the primary');
is($node->safe_psql('chat', q(SELECT mismatches, last_mismatch -> 'read_side' FROM hermet.rollout())),
    '1|{"unread_count": 777}', 'which notes it');

# Somebody holds the notes: nobody waits for him. (A wait would end in the error that is not shown.)
my $holder = background($node, 'chat');
$holder->query('BEGIN');
$holder->query('LOCK TABLE im.hermet_mismatch');
is($node->safe_psql('chat', "SET statement_timeout = '60s'; $stale"), '777', 'a call does not wait for the notes');
$holder->query('COMMIT');
$holder->quit;
is($node->safe_psql('chat', 'SELECT mismatches FROM hermet.rollout()'), '1', 'and goes without noting');

# A dump carries what was set and what was noted.
my $dump = $node->backup_dir . '/chat.sql';
command_ok([ 'pg_dump', '-f', $dump, $node->connstr('chat') ], 'pg_dump');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr('restored') ], 'restored');
is($node->safe_psql('restored', 'SELECT r FROM hermet.rollout() r'), $node->safe_psql('chat', 'SELECT r FROM hermet.rollout() r'),
    'the rollout is the same after a restore');

# Promoted, the standby notes for itself.
$standby->promote;
is($standby->safe_psql('chat', $stale), '777', 'a promoted standby serves');
is($standby->safe_psql('chat', 'SELECT mismatches FROM hermet.rollout()'), '2', 'and notes');

# Two at once, where there was none before: one of them counts, and one row is there, at every level.
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE') {
    for my $committed (0, 1) {
        my $what = "two at once, $level, " . ($committed ? 'one after the other' : 'one waits');
        $node->safe_psql('chat', 'DELETE FROM im.hermet_rollout');
        my ($first, $second) = map { background($node, 'chat') } 1 .. 2;
        for my $session ($first, $second) {
            $session->query("BEGIN ISOLATION LEVEL $level");
            $session->query('SELECT count(*) FROM im.hermet_rollout');
        }
        $first->query('SELECT hermet.set_rollout(10)');
        $first->query('COMMIT') if $committed;
        my $pid = $second->query('SELECT pg_backend_pid()');
        $second->{stdin} .= "SELECT hermet.set_rollout(20);\n";
        $second->{run}->pump_nb;
        unless ($committed) {
            ok(wait_until_blocked($node, $pid), "$what: it does") or die "the rest would wait for nothing\n";
            $first->query('COMMIT');
        }
        $second->query('COMMIT');
        is(join(' ', $second->{stderr} =~ /ERROR:  (\w{5})/g), $level eq 'READ COMMITTED' ? '' : '40001', "$what: whoever does not see the other one fails");
        is($node->safe_psql('chat', 'SELECT percent FROM im.hermet_rollout'), $level eq 'READ COMMITTED' ? '20' : '10', "$what: one row is left");
        $_->quit for $first, $second;
    }
}

no_crash($node);
no_crash($standby);
$standby->stop;
$node->stop;
done_testing();
