# The server dies under load, several times; what was committed is there and the read side is right.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Hermet;
use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = 3;
my $messages_a_round = 400;
my $seed = $ENV{SEED} || time;
note "SEED=$seed";

my $node = new_server('main');
new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');

my $folder = $node->basedir;
my %load = (
    'send.sql@10' => q(
        \set c random(1, 29)
        \set u random(1, 20)
        \set m random(1, 20)
        BEGIN;
        INSERT INTO im.message (id, channel_id, sender_id, content, mention_user_ids)
        VALUES (hermet.next_id(:c), :c, :u, 'under load', ARRAY[:m]);
        INSERT INTO im.channel_read_record (id, user_id, channel_id, last_read_message_id)
        SELECT hermet.next_id(), :u, :c, max(id) FROM im.message WHERE channel_id = :c
        ON CONFLICT (user_id, channel_id) DO UPDATE SET last_read_message_id = excluded.last_read_message_id;
        COMMIT;),
    'send_single.sql@10' => q(
        \set c random(101, 120)
        INSERT INTO im.message (id, channel_id, sender_id, content)
        VALUES (hermet.next_id(:c), :c, :c - 100, 'between us');),
    'recall.sql@2' => q(
        \set c random(1, 29)
        UPDATE im.message SET deleted_at = hermet.now_ms()
         WHERE channel_id = :c AND id = (SELECT max(id) FROM im.message WHERE channel_id = :c AND deleted_at = 0);),
    'rename.sql@2' => q(
        \set u random(1, 20)
        UPDATE im.biz_user SET nickname = 'user ' || :client_id WHERE id = :u;),
    'member.sql@2' => q(
        \set c random(1, 29)
        \set u random(1, 20)
        \set left random(0, 1)
        INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (hermet.next_id(), :c, :u)
        ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = :left * hermet.now_ms();),
    'friend.sql@2' => q(
        \set u random(1, 20)
        \set f random(1, 20)
        INSERT INTO im.friendship (id, user_id, friend_id) VALUES (hermet.next_id(), :u, :f)
        ON CONFLICT (user_id, friend_id)
        DO UPDATE SET remark_name = 'number ' || :client_id, deleted_at = 9000 - im.friendship.deleted_at;),
    'setting.sql@2' => q(
        \set c random(1, 29)
        \set u random(1, 20)
        INSERT INTO im.conversation_setting (user_id, channel_id, is_pinned) VALUES (:u, :c, true)
        ON CONFLICT (user_id, channel_id) DO UPDATE SET is_pinned = NOT im.conversation_setting.is_pinned;),
);
my @scripts;
for my $script (sort keys %load) {
    my ($file) = split /@/, $script;
    append_to_file("$folder/$file", $load{$script});
    push @scripts, '-f', "$folder/$script";
}

sub messages { return $node->safe_psql('chat', 'SELECT count(*) FROM im.message'); }

for my $round (1 .. $rounds) {
    my $before = messages();
    my ($out, $err) = ('', '');
    my $pgbench = IPC::Run::start(
        [
            'pgbench', '--no-vacuum', '--client=6', '--jobs=2', '--time=300', '--max-tries=100',
            '--random-seed=' . ($seed + $round), @scripts, $node->connstr('chat')
        ],
        '<', \undef, '>', \$out, '2>', \$err);
    my $goal = $before + $messages_a_round;
    ok($node->poll_query_until('chat', "SELECT count(*) >= $goal FROM im.message"),
        "round $round: the load is under way");
    my $seen = messages();
    $node->stop('immediate');
    $pgbench->finish;
    # pgbench may only have lost its server; any other error would mean that there was no load.
    unlike($err, qr/ERROR/, "round $round: no statement failed before the crash") or diag($err);
    $node->start;
    cmp_ok(messages(), '>=', $seen, "round $round: every message that was seen is still there");
    is_clean($node, 'chat', 'im', "round $round");
}

is($node->safe_psql('chat', q(
        INSERT INTO im.channel_member (id, channel_id, user_id) VALUES (hermet.next_id(), 1, 1)
        ON CONFLICT (channel_id, user_id) DO UPDATE SET left_at = 0;
        INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (hermet.next_id(), 1, 1, 'still here');
        SELECT DISTINCT last_message_content FROM im.user_conversation_view WHERE channel_id = 1)),
    'still here', 'it goes on');
is_clean($node, 'chat', 'im', 'at the end');

$node->stop;
done_testing();
