# Makes the script that brings the extension from an earlier version to this one, of that version's own script and the
# pieces of this one:
#
#   awk -v version=0.2.0 -f upgrade.awk hermet--0.1.0.sql src/sql/*.sql
#
# It is the install script once more: functions, procedures and views are replaced where they stand, so that triggers and
# whatever else hangs on them stays. What cannot be replaced, because its arguments or its result changed, and what is no
# longer there, is dropped first. Sequences and tables that are there already are left alone.

# The head of a function: everything before LANGUAGE. Functions with the same head can replace each other.
function note_head(    head) {
    head = statement
    sub(/LANGUAGE.*/, "", head)
    gsub(/[ \t\n]+/, " ", head)
    if (reading_old) {
        if (name in old_head) {
            print "two functions of one name in the script of the earlier version: " name >"/dev/stderr"
            failed = 1
            exit 1
        }
        old_head[name] = head
        old_kind[name] = kind
    } else
        new_heads[name, head] = 1
}

# How often a line opens or closes a quoted body.
function count_quotes(line) {
    return gsub(/\$[a-z_]*\$/, "", line)
}

FNR == 1 { file++; reading_old = file == 1; in_body = in_head = 0 }

!in_body && /^CREATE (FUNCTION|PROCEDURE) / {
    kind = $2
    name = $3
    sub(/\(.*/, "", name)
    statement = ""
    in_head = 1
}

in_head {
    statement = statement $0 "\n"
    if (/LANGUAGE/) {
        note_head()
        in_head = 0
    }
}

!reading_old {
    line = $0
    gsub(/@VERSION@/, version, line)
    if (!in_body) {
        sub(/^CREATE FUNCTION /, "CREATE OR REPLACE FUNCTION ", line)
        sub(/^CREATE PROCEDURE /, "CREATE OR REPLACE PROCEDURE ", line)
        sub(/^CREATE VIEW /, "CREATE OR REPLACE VIEW ", line)
        sub(/^CREATE SEQUENCE /, "CREATE SEQUENCE IF NOT EXISTS ", line)
        sub(/^CREATE TABLE /, "CREATE TABLE IF NOT EXISTS ", line)
    }
    if (line ~ /^\\echo /)
        heading = line
    else
        script = script line "\n"
}

{ if (count_quotes($0) % 2) in_body = !in_body }

END {
    if (failed)
        exit 1
    sub(/CREATE EXTENSION hermet/, "ALTER EXTENSION hermet UPDATE", heading)
    print heading
    for (name in old_head)
        if (!((name, old_head[name]) in new_heads))
            print "DROP " old_kind[name] " " name ";"
    printf "%s", script
}
