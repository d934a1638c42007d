# The library is replaced under open sessions: they go on with what they have loaded, new ones load the new
# one, health says that the instance is older, and ALTER EXTENSION and hermet.upgrade() bring it up to date. The
# new version is this one under another number.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Basename;
use Hermet;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{SEED} || time;
note "SEED=$seed";
my $node = new_server('main', "deadlock_timeout = '100ms'\n");
my $installed = $node->psql('postgres', 'SHOW extension_destdir') == 0
  && $node->safe_psql('postgres', 'SHOW extension_destdir');
if (!$installed) {
    # The folders of a server without that setting are not ours to change.
    $node->stop;
    plan skip_all => 'this server has no extension_destdir to put another version into';
}

# An installation of its own, which the other tests do not use.
my $root = $node->basedir . '/install';
system_or_bail('cp', '-R', $installed, $root);
$node->append_conf('postgresql.conf', "extension_destdir = '$root'");
$node->reload;
my ($library) = split /\n/, qx(find '$root' -name hermet.so);
my ($control) = split /\n/, qx(find '$root' -name hermet.control);
ok($library && $control, 'the installation was copied') or BAIL_OUT('there is nothing to replace');
my ($old) = slurp_file($control) =~ /^default_version = '(.*)'/m;
(my $new = $old) =~ s/(\d)$/($1 + 1) % 10/e;
isnt($new, $old, "from $old to $new");

# As an installer does it: a new file takes the name of the old one, which who has it open keeps.
sub replace {
    my ($file, $content) = @_;
    open my $out, '>:raw', "$file.new" or die "$file.new: $!";
    print $out $content;
    close $out or die "$file.new: $!";
    rename "$file.new", $file or die "$file: $!";
    return;
}

sub version_of {
    my ($session) = @_;
    return $session->query_safe('SELECT hermet.version()');
}

new_database($node, 'chat');
new_instance($node, 'chat', 'im');
fill($node, 'chat', 'im');
my $veteran = background($node, 'chat');
is(version_of($veteran), $old, 'the library is the old one');
my $load = start_load($node, 'chat', 'im', 3, $seed);

my $image = slurp_file($library);
my $count = ($image =~ s/\Q$old\E\0/$new\0/g);
cmp_ok($count, '>', 0, 'the version is in the library');
replace($library, $image);
(my $script = $control) =~ s/\.control$/--$old--$new.sql/;
replace($script, "-- Nothing has changed in SQL.\n");
(my $text = slurp_file($control)) =~ s/^default_version = .*/default_version = '$new'/m;
replace($control, $text);

load_goes_on($load);
is(version_of($veteran), $old, 'an open session keeps what it has loaded');
is($node->safe_psql('chat', 'SELECT hermet.version()'), $new, 'a new session loads the new library');
is(health($node, 'chat', 'im'), "extension of another version|hermet\ninstance of another version|im",
    'health says what is older than the library');
like($node->safe_psql('chat', q(SELECT detail FROM hermet.health('im') WHERE problem LIKE 'instance%')),
    qr/\Q$old\E.*\Q$new\E.*hermet\.upgrade\(\)/, 'and how to bring it up to date');

# Old and new write side by side.
$veteran->query_safe(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (80001, 25, 19, 'by the old')));
$node->safe_psql('chat', q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (80002, 25, 19, 'by the new')));
$veteran->query_safe(q(UPDATE im.biz_user SET nickname = 'renamed' WHERE id = 19));
is($veteran->query(q(SELECT DISTINCT last_message_content, last_message_sender_name FROM im.user_conversation_view WHERE channel_id = 25)),
    'by the new|renamed', 'sessions with either library see each other\'s writes');
is_clean($node, 'chat', 'im', 'old and new side by side');

retried($node, 'chat', 'ALTER EXTENSION hermet UPDATE');
is(health($node, 'chat', 'im'), 'instance of another version|im', 'after ALTER EXTENSION: the instance is still older');
load_goes_on($load);
retried($node, 'chat', q(SELECT hermet.upgrade('im')));
is(health($node, 'chat', 'im'), '', 'after hermet.upgrade(): healthy');
is($node->safe_psql('chat', 'SELECT version FROM im.hermet_instance'), $new, 'the instance is of the new version');
load_goes_on($load);

# The session that was there before all of this.
$veteran->query_safe(q(INSERT INTO im.message (id, channel_id, sender_id, content) VALUES (80003, 25, 19, 'still by the old')));
is($veteran->query(q(SELECT DISTINCT last_message_content FROM im.user_conversation_view WHERE channel_id = 25)),
    'still by the old', 'an old session goes on writing');
is($veteran->query(q(SELECT DISTINCT problem FROM hermet.health('im') ORDER BY 1)),
    "extension of another version\ninstance of another version", 'and is told that its library is the other');
is($veteran->query(q(SELECT count(*) FROM hermet.check_consistency('im'))), 0, 'its check finds nothing');
$veteran->reconnect_and_clear;
is(version_of($veteran), $new, 'after a new connection it has the new library');
is($veteran->query(q(SELECT count(*) FROM hermet.health('im'))), 0, 'and is healthy');
$veteran->quit;

my $failed = stop_load($load);
my @unexpected = grep { $_ ne '40P01' } sort keys %$failed;
is("@unexpected", '', 'those who wrote meanwhile noticed nothing, but a deadlock with the upgrade');
is_clean($node, 'chat', 'im', 'at the end');

# Back to the version before: an instance newer than the library is said, too.
$node->safe_psql('chat', 'UPDATE im.hermet_instance SET version = ' . "'99.0'");
is(health($node, 'chat', 'im'), 'instance of another version|im', 'an instance of a version yet to come');
$node->safe_psql('chat', q(SELECT hermet.upgrade('im')));
is(health($node, 'chat', 'im'), '', 'healthy at the end');

$node->restart;
is($node->safe_psql('chat', 'SELECT hermet.version()'), $new, 'after a restart: the new library');
is_clean($node, 'chat', 'im', 'after a restart');
no_crash($node);
$node->stop;
done_testing();
