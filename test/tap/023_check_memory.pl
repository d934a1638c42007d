# What a check's process grows by does not hang on how many rows there are, nor on how many are wrong.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'the size of a process is read from /proc' unless -r '/proc/self/status';

# Few buffers, as a process's size includes those it has seen.
my $node = new_server('main', "shared_buffers = '16MB'\nwork_mem = '1MB'\nmax_parallel_workers_per_gather = 0\njit = off\n");
new_database($node, 'chat');

# So many members of each of 200 channels.
sub new_filled {
    my ($schema, $members) = @_;
    new_instance($node, 'chat', $schema);
    $node->safe_psql('chat', qq(
        SET session_replication_role = replica;
        SET search_path = $schema;
        INSERT INTO channel (id, channel_type, channel_name) SELECT c, 'group', repeat('name ', 20) FROM generate_series(1, 200) c;
        INSERT INTO channel_member (id, channel_id, user_id) SELECT c * 100000 + u, c, u FROM generate_series(1, 200) c, generate_series(1, $members) u;
        INSERT INTO friendship (id, user_id, friend_id) SELECT u * 1000 + f, u, f FROM generate_series(1, $members) u, generate_series(1, 50) f;
        INSERT INTO message (id, channel_id, sender_id, content) SELECT m, m % 200 + 1, 1, repeat('text ', 50) FROM generate_series(1, 1000) m;
        RESET session_replication_role;
        SELECT hermet.repair('$schema');
        ANALYZE;));
    return;
}

# The highest size of the process, in MB, over that of one that has looked at a small instance only.
sub growth {
    my ($sql) = @_;
    my @hwm = split /\n/, $node->safe_psql('chat', join "\n",
        q(SELECT count(*) FROM hermet.check_consistency('small');),
        q(SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)');),
        $sql,
        q(SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)');));
    note join ' ', @hwm;
    return ($hwm[3] - $hwm[1]) / 1024;
}

# A hundred bytes a row would be seen. A third of the rows on partitions, through which a rebuild takes more time.
my ($members, $most) = $ENV{SHARDS} ? (500, 20) : (1500, 40);
my $rows = 200 * $members;
new_filled('small', 20);
new_filled('large', $members);
is($node->safe_psql('chat', q(SELECT count(*) FROM large.user_conversation_view)), $rows, 'filled');
for my $what (
    [ 'a check of right rows', q(SELECT count(*) FROM hermet.check_consistency('large');) ],
    [ 'a summary', q(SELECT sum(rows) FROM hermet.consistency_summary('large');) ],
    [ 'a rebuild of right rows', q(CALL hermet.rebuild_conversation_view('large', notice_seconds => 0); SELECT 0;) ])
{
    my $growth = growth($what->[1]);
    cmp_ok($growth, '<', $most, "$what->[0], $rows of them: $growth MB");
}
$node->safe_psql('chat', q(SET session_replication_role = replica; UPDATE large.user_conversation_view SET unread_count = 77));
my $growth = growth(q(SELECT count(*) FROM hermet.check_consistency('large', 'user_conversation_view');));
cmp_ok($growth, '<', $most, "a check that finds all of them wrong: $growth MB");
is($node->safe_psql('chat', q(SELECT rows_checked, problems FROM large.hermet_check WHERE problems > 0)), "$rows|$rows", 'it did');
$growth = growth(q(CALL hermet.rebuild_conversation_view('large', notice_seconds => 0); SELECT 0;));
cmp_ok($growth, '<', $most, "a rebuild of all of them: $growth MB");
is($node->safe_psql('chat', q(SELECT sum(fail) FROM hermet.consistency_summary('large'))), 0, 'all are right');
no_crash($node);

done_testing();
