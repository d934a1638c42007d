# The read side rebuilt under load, from damage and from nothing: readers never see a part of a list, writers
# wait for nobody but their own rows' batch; cancelled, terminated, killed, stopped at once, it goes on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || time;
note "SEED=$seed";
my $node = new_server('main', "deadlock_timeout = '100ms'\nrestart_after_crash = on\n");
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

# Channels where nobody writes: 90 users with 60 conversations and 40 contacts each. The readers watch them.
$node->safe_psql('chat', q(
    SET search_path = im;
    INSERT INTO biz_user (id, nickname) SELECT u, 'quiet ' || u FROM generate_series(1001, 1090) u;
    INSERT INTO channel (id, channel_name, channel_type) SELECT c, 'quiet ' || c, 'group' FROM generate_series(2001, 2030) c;
    INSERT INTO channel (id, channel_type) SELECT 10000 + 15 * u + i, 'single' FROM generate_series(1001, 1090) u, generate_series(0, 14) i;
    INSERT INTO channel_member (id, channel_id, user_id, joined_at)
    SELECT c * 10000 + u, c, u, 0 FROM generate_series(2001, 2030) c, generate_series(1001, 1090) u
    UNION ALL SELECT 2 * c.id, c.id, 1001 + (c.id - 25015) / 15, 0 FROM channel c WHERE c.id >= 25000
    UNION ALL SELECT 2 * c.id + 1, c.id, 1001 + ((c.id - 25015) / 15 + (c.id - 25015) % 15 + 1) % 90, 0 FROM channel c WHERE c.id >= 25000;
    INSERT INTO friendship (id, user_id, friend_id) SELECT u * 10000 + i, u, 1001 + (u + i) % 90 FROM generate_series(1001, 1090) u, generate_series(1, 40) i;
    INSERT INTO message (id, channel_id, sender_id, content) SELECT 500000 + c.id, c.id, 1001, 'quiet' FROM channel c WHERE c.id > 2000;
    CREATE TABLE testing.seen (list text, user_id bigint, rows bigint, PRIMARY KEY (list, user_id, rows));
    ANALYZE;
));
is_clean($node, 'chat', 'im', 'filled');

# A reader notes the length of every quiet list that it sees, in one statement's snapshot.
sub start_reader {
    my $file = $node->basedir . '/reader.sql';
    my $look = q(
INSERT INTO testing.seen
SELECT 'inbox', u, (SELECT count(*) FROM im.user_conversation_view v WHERE v.user_id = u) FROM generate_series(1001, 1090) u
UNION ALL
SELECT 'book', u, (SELECT count(*) FROM im.user_contact_view v WHERE v.user_id = u) FROM generate_series(1001, 1090) u
UNION ALL SELECT 'looks', 0, count(*) + 1 FROM testing.seen WHERE list = 'looks'
    ON CONFLICT DO NOTHING;
SELECT EXISTS (SELECT FROM testing.load_stop) AS stop \gset
\if :stop
\q
\endif
);
    open my $script, '>', $file or die "$file: $!";
    print $script $look x 100, "\\i $file\n";
    close $script or die "$file: $!";
    $node->safe_psql('chat', 'TRUNCATE testing.seen');
    my $reader = { err => '', out => '' };
    $reader->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('chat'), '-f', $file ],
        '<', \undef, '>', \$reader->{out}, '2>', \$reader->{err});
    return $reader;
}

# Waits until the reader has looked so many times more.
sub reader_goes_on {
    my ($times) = @_;
    my $looks = q(SELECT count(*) FROM testing.seen WHERE list = 'looks');
    my $goal = $times + $node->safe_psql('chat', $looks);
    return ok($node->poll_query_until('chat', "SELECT ($looks) >= $goal"), 'the reader goes on');
}

sub lengths_seen {
    return $node->safe_psql('chat',
        q(SELECT list, rows, count(*) FROM testing.seen WHERE list <> 'looks' GROUP BY 1, 2 ORDER BY 1, 2));
}

# A rebuild in a session of its own.
sub start_rebuild {
    my ($call, $settings) = @_;
    my $rebuild = { err => '', out => '' };
    $rebuild->{run} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('chat'), '-v', 'VERBOSITY=verbose',
            ($settings ? ('-c', $settings) : ()), '-c', "CALL hermet.$call" ],
        '<', \undef, '>', \$rebuild->{out}, '2>', \$rebuild->{err});
    return $rebuild;
}

sub finish {
    my ($rebuild) = @_;
    $rebuild->{run}->finish;
    note $rebuild->{err};
    return $rebuild->{run}->result(0);
}

# A transaction that writes to a single chat of this user: a rebuild that has to mend it comes as far as his list, and
# no further.
sub hold_back {
    my ($user) = @_;
    my $holder = background($node, 'chat');
    $holder->query_safe("BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (800000 + $user, 10000 + 15 * $user, $user)");
    return $holder;
}

sub far_enough {
    my ($view, $done) = @_;
    $node->poll_query_until('chat',
        "SELECT EXISTS (SELECT FROM hermet.progress('im') WHERE operation = '$view' AND state = 'running' AND done >= $done AND done < total)")
      or die "$view never came to $done rows";
    return $node->safe_psql('chat', "SELECT pid FROM hermet.progress WHERE operation = '$view' AND state = 'running'");
}

sub progress {
    my ($view) = @_;
    return $node->safe_psql('chat',
        "SELECT state, done FROM hermet.progress('im') WHERE operation = '$view' ORDER BY started DESC LIMIT 1");
}

# Of an instance whose writers are at work: one snapshot.
sub checks_clean {
    my ($what) = @_;
    return is($node->safe_psql('chat',
            q(SELECT left(c::text, 300) FROM hermet.check_consistency('im') c LIMIT 5)), '', "$what: check finds nothing");
}

my $empty = q(SET LOCAL session_replication_role = replica;
    TRUNCATE im.user_conversation_view, im.conversation_reverse_index, im.user_contact_view, im.contact_reverse_index);
my $damage = q(SET LOCAL session_replication_role = replica;
    UPDATE im.user_conversation_view SET unread_count = unread_count + 77, conversation_name = 'wrong', list_hour = 5 WHERE user_id % 2 = 0;
    UPDATE im.user_contact_view SET contact_nickname = 'wrong', mobile = 'wrong' WHERE user_id % 2 = 0;
    DELETE FROM im.conversation_reverse_index WHERE owner_user_id % 3 = 0;
    UPDATE im.conversation_reverse_index SET owner_user_id = owner_user_id + 5000 WHERE owner_user_id % 3 = 1;
    DELETE FROM im.contact_reverse_index WHERE owner_user_id % 3 = 0;
    INSERT INTO im.contact_reverse_index SELECT 1001, 7000 + i, 1 FROM generate_series(1, 200) i;
    UPDATE im.channel SET channel_member_count = 77 WHERE id % 2 = 0);

# Clean: nobody waits, not even for a writer who holds a channel.
my $writer = background($node, 'chat');
$writer->query(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (700001, 2001, 1001)));
my $before = $node->safe_psql('chat', q(SELECT testing.fingerprint('im')));
is(finish(start_rebuild(q(rebuild_conversation_view('im')), q(SET lock_timeout = '5s'))), 0, 'a rebuild of a clean inbox waits for nobody');
is(finish(start_rebuild(q(rebuild_contact_view('im')), q(SET lock_timeout = '5s'))), 0, 'nor does one of a clean address book');
is($node->safe_psql('chat', q(SELECT testing.fingerprint('im'))), $before, 'and neither writes a row');

# Damaged, and a writer holds the channel: the batch waits, all others go on; then it says that it cannot.
$writer->query('ROLLBACK');
$node->safe_psql('chat', q(SET session_replication_role = replica; UPDATE im.user_conversation_view SET unread_count = 55 WHERE user_id = 1050));
$writer->query(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (700001, 2001, 1001)));
my $waiting = start_rebuild(q(rebuild_conversation_view('im', batch_size => 60, pause_ms => 1)));
my $pid = far_enough('rebuild_conversation_view', 1);
ok(wait_until_blocked($node, $pid), 'a batch with a wrong row waits for the writer of its channel');
$node->safe_psql('chat', q(
    SET lock_timeout = '5s';
    INSERT INTO im.message (id, channel_id, sender_id) VALUES (700002, 5, 5);
    UPDATE im.biz_user SET nickname = 'Quiet ' || id WHERE id = 20;
    UPDATE im.friendship SET remark_name = 'x' WHERE user_id = 1001));
pass('writers elsewhere pass it');
is($node->safe_psql('chat', 'SELECT count(*), max(unread_count) FROM im.user_conversation_view WHERE user_id = 1050'), '60|55',
    'readers see the list as it was');
my ($status, $out, $err) = $node->psql('chat', q(\set VERBOSITY verbose
    CALL hermet.rebuild_conversation_view('im', from_key => 1050, to_key => 1060);));
like($err, qr/ERROR:  55006: a rebuild of "im.user_conversation_view" runs already\nDETAIL:  Process $pid /, 'two rebuilds of one range: 55006');
$writer->query('COMMIT');
is(finish($waiting), 0, 'it goes on when the writer has ended');
is_clean($node, 'chat', 'im', 'after waiting');

$node->safe_psql('chat', q(SET session_replication_role = replica; UPDATE im.user_conversation_view SET unread_count = 55 WHERE user_id = 1050));
$writer->query(q(BEGIN; INSERT INTO im.message (id, channel_id, sender_id) VALUES (700003, 2001, 1001)));
my $timed_out = start_rebuild(q(rebuild_conversation_view('im', batch_size => 60)), q(SET lock_timeout = '20ms'));
isnt(finish($timed_out), 0, 'with a lock_timeout, it gives up in the end');
like($timed_out->{err}, qr/ERROR:  55P03: the rebuild of "im.user_conversation_view" stopped after \d+ of \d+ rows: a batch failed 8 times/,
    'and says where');
like(progress('rebuild_conversation_view'), qr/^interrupted\|\d{3,}$/, 'what was done is kept');
$writer->query('COMMIT');
$writer->quit;
my $on = start_rebuild(q(rebuild_conversation_view('im')));
is(finish($on), 0, 'the next call goes on');
like($on->{err}, qr/goes on after \d{3,} of/, 'from there');
is_clean($node, 'chat', 'im', 'after a timeout');

# Damage, under the load of eight sessions.
my $load = start_load($node, 'chat', 'im', 8, $seed);
my $reader = start_reader();
retried($node, 'chat', "BEGIN; $damage; COMMIT");
load_goes_on($load);
my $holder = hold_back(1040);
my @both = map { start_rebuild("$_('im', batch_size => 100, pause_ms => 2)") } qw(rebuild_conversation_view rebuild_contact_view);
my $holder_pid = $holder->query('SELECT pg_backend_pid()');
ok($node->poll_query_until('chat', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $holder_pid = ANY (pg_blocking_pids(pid)))"),
    'a part is mended, and one of them waits, which the other one may have to wait for');
reader_goes_on(10);
$holder->query('ROLLBACK');
$holder->quit;
is(finish($_), 0, 'a rebuild of a damaged read side under load') for @both;
checks_clean('damaged');
is(lengths_seen(), "book|40|90\ninbox|60|90", 'a damaged list keeps its rows while it is mended');
stop_load($load);
$reader->{run}->finish;
is($reader->{err}, '', 'the reader had no errors');
is_clean($node, 'chat', 'im', 'damaged');

# Emptied, under load: cancelled, terminated, killed with the server's crash, stopped at once; and on.
retried($node, 'chat', "BEGIN; $empty; COMMIT");
$load = start_load($node, 'chat', 'im', 8, $seed + 1);
$reader = start_reader();
my $call = q(rebuild_conversation_view('im', batch_size => 60, pause_ms => 20, notice_seconds => 1));
# However slow this test is, none of the calls may come to the end before it is stopped.
$holder = hold_back(1020);
my $first = start_rebuild($call);
$pid = far_enough('rebuild_conversation_view', 500);
$node->safe_psql('chat', "SELECT pg_cancel_backend($pid)");
isnt(finish($first), 0, 'cancelled');
like($first->{err}, qr/ERROR:  57014/, 'by 57014');
my ($state, $done) = split /\|/, progress('rebuild_conversation_view');
is($state, 'interrupted', 'progress says so');
cmp_ok($done, '>=', 500, 'and how far it was');
like(health($node, 'chat', 'im'), qr/^rebuild interrupted\|im.user_conversation_view$/m, 'so does health');

$holder->quit;
$holder = hold_back(1040);
my $second = start_rebuild($call);
$pid = far_enough('rebuild_conversation_view', $done + 500);
ok($node->poll_query_until('chat', 'SELECT EXISTS (SELECT FROM im.user_conversation_view WHERE user_id = 1001)'),
    'after the channels and the lists of the load, it comes to the quiet lists');
$node->safe_psql('chat', "SELECT pg_terminate_backend($pid)");
isnt(finish($second), 0, 'terminated');
like($second->{err}, qr/rebuild of "im.user_conversation_view" goes on after $done of/, 'the second call went on');
($state, $done) = split /\|/, progress('rebuild_conversation_view');
is($state, 'interrupted', 'progress says so again');
reader_goes_on(2);
like(lengths_seen(), qr/\Abook\|0\|90\ninbox\|0\|\d+\ninbox\|60\|\d+\z/, 'a list comes back at once');

$holder->quit;
$holder = hold_back(1060);
my $third = start_rebuild($call);
$pid = far_enough('rebuild_conversation_view', $done + 500);
my $since = $node->safe_psql('chat', 'SELECT clock_timestamp()');
kill 9, $pid;
isnt(finish($third), 0, 'killed');
wait_for_restart($node, $since);
eval { $holder->quit };
stop_load($load);
$reader->{run}->finish;
is(progress('rebuild_conversation_view') =~ /^interrupted\|(\d+)/ && $1 >= $done + 500 ? 1 : 0, 1, 'after the crash, progress still knows');

$load = start_load($node, 'chat', 'im', 8, $seed + 2);
$holder = hold_back(1080);
my $fourth = start_rebuild($call);
far_enough('rebuild_conversation_view', $done + 1000);
$node->stop('immediate');
finish($fourth);
eval { $holder->quit };
$_->{run}->finish for @{ $load->{sessions} };
$node->start;

$load = start_load($node, 'chat', 'im', 8, $seed + 3);
my $last = start_rebuild($call);
is(finish($last), 0, 'the last call ends it');
like(progress('rebuild_conversation_view'), qr/^finished/, 'progress says so, too');
is($node->safe_psql('chat', q(SELECT string_agg(left(c::text, 300), E'\n') FROM hermet.check_consistency('im', 'user_conversation_view') c)), '',
    'the inbox is right under load');

# Ten users' lists are ten batches at least, with pauses that are longer than the interval.
my $slow = start_rebuild(q(rebuild_conversation_view('im', batch_size => 60, from_key => 1001, to_key => 1010, pause_ms => 300, notice_seconds => 1)));
is(finish($slow), 0, 'a slow one');
like($slow->{err}, qr/NOTICE:  \w+: rebuild of "im.user_conversation_view": \d+ of \d+ rows, \d+ changed, \d+ a second, \S+ left/,
    'tells how far it is as it goes');

# The address book in two ranges at once, each with a row that it has to wait for, and a third one that gets in the way.
$holder = background($node, 'chat');
$holder->query_safe(q(BEGIN; UPDATE im.friendship SET remark_name = 'held' WHERE id IN (10400001, 10850001)));
my @ranges = map { start_rebuild("rebuild_contact_view('im', batch_size => 40, pause_ms => 20, $_)") }
  'to_key => 1045', 'from_key => 1046';
$node->poll_query_until('chat', q(SELECT count(*) = 2 FROM hermet.progress WHERE operation = 'rebuild_contact_view' AND state = 'running'))
  or die 'two ranges never ran at once';
pass('two ranges run at once');
sql_fails($node, 'chat', q(CALL hermet.rebuild_contact_view('im')), '55006', 'a third over both');
$holder->query('ROLLBACK');
$holder->quit;
is(finish($_), 0, 'a range is finished') for @ranges;
checks_clean('after two ranges');
stop_load($load);
is_clean($node, 'chat', 'im', 'emptied');

# Repair reads what differs, and then waits for a channel. Meanwhile the channel's last sender is renamed: his own row and
# the channel do not lead to the others' rows, which were right before.
my ($group, $sender, $other) = split /\|/, $node->safe_psql('chat', q(
    SELECT v.channel_id, v.user_id, w.user_id
      FROM im.user_conversation_view v
      JOIN im.channel_member cm ON cm.channel_id = v.channel_id AND cm.user_id = v.user_id AND cm.nickname = ''
      JOIN im.user_conversation_view w ON w.channel_id = v.channel_id AND w.user_id <> v.user_id
     WHERE v.last_message_sender_id = v.user_id AND v.conversation_type = 'group' ORDER BY 1, 2, 3 LIMIT 1));
$node->safe_psql('chat', "SELECT testing.plant('$_')")
  for "UPDATE im.channel SET last_message_id = 0, last_message_at = 0 WHERE id = $group",
  "UPDATE im.user_conversation_view SET last_message_id = 0, last_message_sender_id = 0 WHERE channel_id = $group AND user_id = $sender";
my $repairer = background($node, 'chat');
my $repairing = $repairer->query_safe('SELECT pg_backend_pid()');
$holder = background($node, 'chat');
$holder->query_safe(qq(BEGIN; SELECT hermet.lock_channels(ARRAY[$group], 'im')));
begin_query($repairer, q(SELECT FROM hermet.repair('im')));
ok(wait_until_blocked($node, $repairing), 'a repair waits for a channel');
$node->safe_psql('chat', qq(UPDATE im.biz_user SET nickname = 'renamed meanwhile' WHERE id = $sender));
$holder->query_safe('COMMIT');
$holder->quit;
$repairer->query('SELECT 1');
is($repairer->{stderr}, '', 'it ends without an error');
$repairer->quit;
is($node->safe_psql('chat', qq(SELECT last_message_sender_name FROM im.user_conversation_view WHERE channel_id = $group AND user_id = $other)),
    'renamed meanwhile', 'what was right before is mended, too');
is_clean($node, 'chat', 'im', 'after a repair that waited');

# Messages into what was not rebuilt yet have left incidents, which the next rebuild takes away.
is(finish(start_rebuild(q(rebuild_conversation_view('im')))), 0, 'once more');
is(health($node, 'chat', 'im'), '', 'and healthy');

# A crash was asked for; nothing else may have died.
my @traces = grep { /TRAP:|PANIC:|terminated by signal (?!9:)|unexpected state of a row/ } split /\n/, slurp_file($node->logfile);
is(join("\n", @traces), '', 'no server process crashed but the one that was killed');

done_testing();
