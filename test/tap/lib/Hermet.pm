# What the TAP tests share: a server, an instance with people who talk, and the question whether the
# read side is right.
package Hermet;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(new_server new_database new_instance fill is_clean sql_fails contents tables);

# Settings come from TEMP_CONFIG, which Cluster.pm adds to each server's configuration.
sub new_server {
    my ($name) = @_;
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init;
    $node->start;
    return $node;
}

# sql/setup.sql makes the extension and the schema "testing" with the rules written a second time.
sub new_database {
    my ($node, $name) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name");
    $node->safe_psql($name, slurp_file($ENV{HERMET_SETUP}));
    return;
}

sub quoted {
    my ($name) = @_;
    $name =~ s/"/""/g;
    return qq("$name");
}

sub literal {
    my ($text) = @_;
    $text =~ s/'/''/g;
    return "'$text'";
}

sub new_instance {
    my ($node, $database, $schema) = @_;
    $node->safe_psql($database, 'SELECT hermet.create_tables(' . literal($schema) . ')');
    return;
}

# 20 people, 30 groups, 20 single chats, and something of every kind of row.
sub fill {
    my ($node, $database, $schema) = @_;
    $node->safe_psql($database, 'SET search_path = ' . quoted($schema) . <<'SQL');
;
INSERT INTO biz_user (id, email, mobile, nickname, avatar)
SELECT u, 'u' || u || '@example.org', '+' || u, 'user ' || u, u || '.png' FROM generate_series(1, 20) u;

INSERT INTO channel (id, channel_name, channel_type, channel_status)
SELECT c, 'group ' || c, 'group', CASE WHEN c = 30 THEN 'archived' ELSE 'active' END::channel_status_enum
  FROM generate_series(1, 30) c;
INSERT INTO channel (id, channel_type) SELECT 100 + u, 'single' FROM generate_series(1, 20) u;

INSERT INTO channel_member (id, channel_id, user_id, joined_at, left_at)
SELECT c * 1000 + u, c, u, 1000, CASE WHEN (u + c) % 11 = 0 THEN 5000 ELSE 0 END
  FROM generate_series(1, 30) c, generate_series(1, 20) u WHERE (u * c) % 3 <> 0;
INSERT INTO channel_member (id, channel_id, user_id, joined_at)
SELECT 900000 + u * 2 + side, 100 + u, CASE side WHEN 0 THEN u ELSE u % 20 + 1 END, 1000
  FROM generate_series(1, 20) u, generate_series(0, 1) side;

INSERT INTO friendship (id, user_id, friend_id, remark_name, tags, is_starred)
SELECT u * 2 + side, CASE side WHEN 0 THEN u ELSE u % 20 + 1 END, CASE side WHEN 1 THEN u ELSE u % 20 + 1 END,
       CASE WHEN u % 4 = 0 THEN 'my friend ' || u ELSE '' END, ARRAY['a, b', 'c"d'], u % 5 = 0
  FROM generate_series(1, 20) u, generate_series(0, 1) side;

INSERT INTO message (id, channel_id, sender_id, message_type, content, mention_user_ids, mention_all, sent_at)
SELECT m, m % 30 + 1, m % 20 + 1, CASE WHEN m % 17 = 0 THEN 'system' ELSE 'text' END, repeat('word ', m % 200),
       CASE WHEN m % 7 = 0 THEN ARRAY[m % 19 + 1, NULL] ELSE '{}' END, m % 50 = 0, 2000 + m
  FROM generate_series(1, 900) m;
INSERT INTO message (id, channel_id, sender_id, content, sent_at)
SELECT 10000 + m, 100 + m % 20 + 1, m % 20 + 1, 'between us: ' || m, 3000 + m FROM generate_series(1, 200) m;
UPDATE message SET deleted_at = 9000 WHERE id % 13 = 0;

INSERT INTO channel_read_record (id, user_id, channel_id, last_read_message_id)
SELECT row_number() OVER (), user_id, channel_id, 300 + user_id * 10 FROM channel_member WHERE id % 2 = 0;
INSERT INTO conversation_setting (user_id, channel_id, is_muted, is_pinned, is_hidden, closed_at, marked_unread)
SELECT user_id, channel_id, id % 2 = 0, id % 3 = 0, id % 4 = 0, CASE WHEN id % 5 = 0 THEN 9000 ELSE 0 END, id % 6 = 0
  FROM channel_member WHERE id % 7 < 3;
UPDATE biz_user SET user_status = 'disabled' WHERE id = 7;
UPDATE biz_user SET user_status = 'deleted', deleted_at = 9000 WHERE id = 13;
UPDATE friendship SET deleted_at = 9000 WHERE user_id = 9;
INSERT INTO channel_application (id, applicant_id, application_type, target_id) VALUES (1, 1, 'channel', 5);
SQL
    return;
}

# Nothing is missing, surplus or stale, by the extension's own check and by the second set of rules.
sub is_clean {
    my ($node, $database, $schema, $what) = @_;
    my $found = $node->safe_psql($database,
        'SELECT left(c, 300) FROM testing.clean(' . literal($schema) . ') c LIMIT 10');
    return is($found, '', "$what: the read side of $schema is right");
}

sub sql_fails {
    my ($node, $database, $sql, $sqlstate, $what) = @_;
    my ($status, $out, $err) = $node->psql($database, "\\set VERBOSITY verbose\n$sql", on_error_stop => 1);
    isnt($status, 0, "$what: fails");
    return like($err, qr/ERROR:  $sqlstate:/, "$what: SQLSTATE $sqlstate");
}

sub tables {
    my ($node, $database, $schema) = @_;
    return split /\n/, $node->safe_psql($database,
        'SELECT relname FROM pg_class WHERE relkind = \'r\' AND relnamespace = '
          . literal(quoted($schema)) . '::regnamespace ORDER BY 1');
}

# Every row of every table of a schema as text, in one order.
sub contents {
    my ($node, $database, $schema) = @_;
    my $all = '';
    for my $table (tables($node, $database, $schema)) {
        $all .= "$table\n" . $node->safe_psql($database,
            'SELECT t FROM ' . quoted($schema) . '.' . quoted($table) . ' t ORDER BY t::text COLLATE "C"') . "\n";
    }
    return $all;
}

1;
