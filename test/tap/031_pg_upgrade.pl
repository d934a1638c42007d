# pg_upgrade, by copy and by link, to another cluster of this version: the catalogs go through a dump in binary-upgrade
# mode, the files stay as they are. The instance is right, healthy and the same as before, and lives on.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Basename;
use Hermet;
use Objects;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $bindir = dirname((split /\n/, qx(which postgres))[0]);
-x "$bindir/pg_upgrade" or plan skip_all => 'this server has no pg_upgrade';

my @schemas = ('im', 'earlier');
my $node = new_server('main');
new_database($node, 'chat');
for my $schema (@schemas) {
    new_instance($node, 'chat', $schema);
    fill($node, 'chat', $schema);
}
$node->safe_psql('chat', q(
    CREATE ROLE chat_app; GRANT USAGE ON SCHEMA im TO chat_app; GRANT SELECT, INSERT ON im.message TO chat_app;
    ALTER TABLE im.message ADD COLUMN own_text text NOT NULL DEFAULT 'x';
    SELECT hermet.order_inboxes('im', 5)));
# One database still has the extension of 0.1.0: it goes over as it is.
$node->safe_psql('postgres', q(CREATE DATABASE old));
$node->safe_psql('old', q(CREATE EXTENSION hermet VERSION '0.1.0'));
new_instance($node, 'old', 'im');
$node->safe_psql('old', q(UPDATE im.hermet_instance SET version = '0.1.0'));
fill($node, 'old', 'im');

# It copies the files unless it is told to link them.
sub upgrade {
    my ($from, $to) = @_;
    my @how = $to eq 'link' ? '--link' : ();
    my $new = PostgreSQL::Test::Cluster->new($to);
    $new->init;
    $from->stop;
    chdir $new->basedir or die $!;
    my $done = run_log([
            'pg_upgrade', '--no-sync', '-d', $from->data_dir, '-D', $new->data_dir, '-b', $bindir, '-B', $bindir, '-s', $new->host,
            '-p', $from->port, '-P', $new->port, '-U', (getpwuid $<)[0], @how
        ]);
    ok($done, "pg_upgrade @how") or BAIL_OUT(join '', map { slurp_file($_) } glob($new->data_dir . '/pg_upgrade_output.d/*/log/*.log'));
    chdir '/' or die $!;
    $new->start;
    return $new;
}

for my $how ('copy', 'link') {
    my %before = map { $_ => {
            extension => extension_objects($node, $_), instance => instance_objects($node, $_, 'im'), rows => contents($node, $_, 'im') }
    } 'chat', 'old';
    my $id = $node->safe_psql('chat', 'SELECT hermet.next_id()');
    my $new = upgrade($node, $how);
    for my $database ('chat', 'old') {
        same_objects(extension_objects($new, $database), $before{$database}{extension}, "$how: the extension in $database");
        same_objects(instance_objects($new, $database, 'im'), $before{$database}{instance}, "$how: the instance in $database");
        ok(contents($new, $database, 'im') eq $before{$database}{rows}, "$how: every row in $database");
    }
    is($new->safe_psql('chat', 'SELECT target FROM hermet.instances()'), "earlier\nim", "$how: the instances are found");
    cmp_ok($new->safe_psql('chat', 'SELECT hermet.next_id()'), '>', $id, "$how: ids go on rising");
    for my $schema (@schemas) {
        is(health($new, 'chat', $schema), '', "$how: $schema is healthy");
        is_clean($new, 'chat', $schema, $how);
    }
    my $load = start_load($new, 'chat', 'im', 2, $ENV{SEED} || time);
    load_goes_on($load);
    my $failed = stop_load($load);
    is(join(' ', keys %$failed), '', "$how: writes go on");
    $new->safe_psql('chat', q(UPDATE earlier.biz_user SET nickname = 'renamed' WHERE id = 3; DELETE FROM earlier.message WHERE id % 5 = 0));
    is_clean($new, 'chat', $_, "$how, written") for @schemas;
    is((sqlstates($new, 'chat', 'UPDATE im.user_conversation_view SET unread_count = 0'))[0][0], '42809', "$how: the guard stands");
    $node = $new;
}

# The old one is brought up to date when there is time.
is(health($node, 'old', 'im'), "extension of another version|hermet\ninstance of another version|im", '0.1.0: health says so');
$node->safe_psql('old', q(INSERT INTO im.message (id, channel_id, sender_id) VALUES (77777, 1, 1)));
is($node->safe_psql('old', 'SELECT count(*) FROM hermet.check_consistency()'), 0, '0.1.0: writes go on rightly');
$node->safe_psql('old', q(ALTER EXTENSION hermet UPDATE; SELECT hermet.upgrade('im')));
is(health($node, 'old', 'im'), '', '0.1.0, upgraded: healthy');
same_objects(extension_objects($node, 'old'), extension_objects($node, 'chat'), '0.1.0, upgraded: the extension');
is($node->safe_psql('old', 'SELECT count(*) FROM hermet.check_consistency()'), 0, '0.1.0, upgraded: the read side is right');
no_crash($node);
$node->stop;
done_testing();
