# What the catalogs say of the extension and of an instance, a line for each property of an object: to compare databases object by object.
package Objects;

use strict;
use warnings;
use Exporter 'import';
use Test::More;

our @EXPORT = qw(extension_objects instance_objects same_objects);

# Rights without their order; NULL is what the owner has by default.
my $acl = q{(SELECT string_agg(coalesce(nullif(x.grantee, 0)::regrole::text, 'PUBLIC') || ' ' || x.privilege_type
                               || CASE WHEN x.is_grantable THEN '*' ELSE '' END, ', ' ORDER BY 1)
               FROM aclexplode(%s) x)};

sub acl { return sprintf $acl, $_[0]; }

# kind, object, what is to be equal; for functions, relations and what hangs on them, types, schemas, comments.
# The condition says which: of $_[0] = oid of the object, $_[1] = its schema.
sub objects {
    my ($function, $relation, $type) = @_;
    return join "\nUNION ALL\n",
      # Functions: what pg_dump would write, and their text.
      qq{SELECT 'function', p.oid::regprocedure::text, to_jsonb(p) - '{oid,proname,pronamespace,proowner,proacl,prolang,proargdefaults}'::text[]
                || jsonb_build_object('arguments', pg_get_function_arguments(p.oid), 'result', pg_get_function_result(p.oid),
                     'language', l.lanname, 'owner', p.proowner::regrole, 'acl', @{[acl('p.proacl')]},
                     'comment', obj_description(p.oid, 'pg_proc'),
                     'rights at first', (SELECT @{[acl('i.initprivs')]} FROM pg_init_privs i WHERE i.objoid = p.oid AND i.classoid = 'pg_proc'::regclass))
           FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE $function},
      # Tables, views, indexes, sequences.
      qq{SELECT 'relation', c.oid::regclass::text, jsonb_build_object('kind', c.relkind, 'persistence', c.relpersistence,
                'options', c.reloptions, 'toast options', (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid),
                'owner', c.relowner::regrole, 'acl', @{[acl('c.relacl')]}, 'comment', obj_description(c.oid, 'pg_class'),
                'identity', c.relreplident, 'row security', c.relrowsecurity, 'forced', c.relforcerowsecurity,
                'access method', (SELECT amname FROM pg_am WHERE oid = c.relam), 'of', c.reloftype::regtype,
                'partition', pg_get_expr(c.relpartbound, c.oid), 'partitioned', pg_get_partkeydef(c.oid),
                'view', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
                'index', CASE WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END,
                'rights at first', (SELECT @{[acl('i.initprivs')]} FROM pg_init_privs i WHERE i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = 0))
           FROM pg_class c WHERE $relation},
      qq{SELECT 'sequence', c.oid::regclass::text, to_jsonb(s) - 'seqrelid' ||
                jsonb_build_object('owned by', (SELECT pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
           FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid WHERE $relation},
      qq{SELECT 'index', c.oid::regclass::text, to_jsonb(x) - '{indexrelid,indrelid,indcheckxmin,indkey,indcollation,indclass,indexprs,indpred}'::text[]
           FROM pg_class c JOIN pg_index x ON x.indexrelid = c.oid WHERE $relation},
      # Columns in their order, not by number: dropped ones leave a gap.
      qq{SELECT 'column', c.oid::regclass || '.' || a.attname, jsonb_build_object(
                'place', row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum),
                'type', format_type(a.atttypid, a.atttypmod), 'not null', a.attnotnull, 'identity', a.attidentity,
                'generated', a.attgenerated, 'storage', a.attstorage, 'compression', a.attcompression, 'statistics', a.attstattarget,
                -- Servers with a fix of 2026 keep a number of their own among the options.
                'options', ARRAY(SELECT o FROM unnest(a.attoptions) o WHERE o NOT LIKE 'pg\_attver=%' ORDER BY 1), 'collation', a.attcollation::regcollation, 'default', pg_get_expr(d.adbin, d.adrelid),
                'acl', @{[acl('a.attacl')]}, 'comment', col_description(a.attrelid, a.attnum))
           FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
          WHERE c.relkind NOT IN ('i', 'I', 'S') AND $relation},
      qq{SELECT 'constraint', c.oid::regclass || '.' || k.conname, jsonb_build_object('definition', pg_get_constraintdef(k.oid),
                'validated', k.convalidated, 'comment', obj_description(k.oid, 'pg_constraint'), 'index', k.conindid::regclass)
           FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE $relation},
      qq{SELECT 'trigger', c.oid::regclass || '.' || t.tgname, jsonb_build_object('definition', pg_get_triggerdef(t.oid),
                'enabled', t.tgenabled, 'internal', t.tgisinternal, 'comment', obj_description(t.oid, 'pg_trigger'))
           FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE $relation},
      qq{SELECT 'rule', c.oid::regclass || '.' || r.rulename, to_jsonb(pg_get_ruledef(r.oid))
           FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE $relation},
      qq{SELECT 'policy', c.oid::regclass || '.' || p.polname, to_jsonb(pg_get_expr(p.polqual, p.polrelid))
           FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE $relation},
      qq{SELECT 'statistics', s.stxname, to_jsonb(pg_get_statisticsobjdef(s.oid))
           FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid WHERE $relation},
      # Types but those of the tables' rows and arrays of others.
      qq{SELECT 'type', t.oid::regtype::text, jsonb_build_object('kind', t.typtype, 'owner', t.typowner::regrole,
                'labels', ARRAY(SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder),
                'acl', @{[acl('t.typacl')]}, 'comment', obj_description(t.oid, 'pg_type'))
           FROM pg_type t WHERE t.typrelid = 0 AND t.typelem = 0 AND $type};
}

sub lines {
    my ($node, $database, $queries) = @_;
    # An empty path: every name is written in full.
    my @lines = split /\n/, $node->safe_psql($database,
        "SET search_path = ''; SET standard_conforming_strings = on;\n"
          . "SELECT concat_ws(' ', kind, object, key, value) FROM (\n$queries\n) AS o (kind, object, what), jsonb_each("
          . " CASE jsonb_typeof(what) WHEN 'object' THEN what ELSE jsonb_build_object('is', what) END) ORDER BY 1");
    cmp_ok(scalar @lines, '>', 500, "$database: " . @lines . ' properties of objects');
    return \@lines;
}

# The members of the extension, and itself.
sub extension_objects {
    my ($node, $database) = @_;
    my $member = sub {
        my ($class, $oid) = @_;
        return "EXISTS (SELECT FROM pg_depend e WHERE e.deptype = 'e' AND e.classid = '$class'::regclass AND e.objid = $oid"
          . " AND e.refclassid = 'pg_extension'::regclass AND e.refobjid = (SELECT x.oid FROM pg_extension x WHERE x.extname = 'hermet'))";
    };
    return lines($node, $database, join "\nUNION ALL\n",
        objects($member->('pg_proc', 'p.oid'), $member->('pg_class', 'c.oid'), $member->('pg_type', 't.oid')),
        q{SELECT 'member', pg_describe_object(d.classid, d.objid, d.objsubid), to_jsonb(d.deptype)
            FROM pg_depend d WHERE d.refclassid = 'pg_extension'::regclass
             AND d.refobjid = (SELECT x.oid FROM pg_extension x WHERE x.extname = 'hermet')},
        qq{SELECT 'extension', x.extname, to_jsonb(x) - '{oid,extnamespace,extconfig,extowner}'::text[]
                  || jsonb_build_object('dumped', x.extconfig::regclass[], 'comment', obj_description(x.oid, 'pg_extension'))
             FROM pg_extension x WHERE x.extname = 'hermet'},
        schema('hermet'));
}

sub schema {
    my ($name) = @_;
    return qq{SELECT 'schema', n.nspname, jsonb_build_object('owner', n.nspowner::regrole, 'acl', @{[acl('n.nspacl')]},
                     'comment', obj_description(n.oid, 'pg_namespace')) FROM pg_namespace n WHERE n.nspname = '$name'};
}

# All that is in the schema of an instance.
sub instance_objects {
    my ($node, $database, $schema) = @_;
    my $in = sub { "$_[0] = (SELECT s.oid FROM pg_namespace s WHERE s.nspname = '$schema')" };
    return lines($node, $database, join "\nUNION ALL\n",
        objects($in->('p.pronamespace'), $in->('c.relnamespace'), $in->('t.typnamespace')), schema($schema));
}

# Prints what the one has and the other has not.
sub same_objects {
    my ($got, $expected, $what) = @_;
    my %got = map { $_ => 1 } @$got;
    my %expected = map { $_ => 1 } @$expected;
    my @surplus = grep { !$expected{$_} } @$got;
    my @missing = grep { !$got{$_} } @$expected;
    my $ok = ok(!@surplus && !@missing, $what);
    diag("is     $_") for @surplus;
    diag("not is $_") for @missing;
    return $ok;
}

1;
