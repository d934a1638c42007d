/* Ids: 41 bits of milliseconds since 2025-01-01 UTC, 10 bits of shard, 12 bits of sequence. */

-- The shared part of an id (time and sequence, 53 bits); next_id() moves it on to the clock.
CREATE SEQUENCE hermet.id_sequence AS bigint MINVALUE 0 START 0 MAXVALUE 9007199254740991;
COMMENT ON SEQUENCE hermet.id_sequence IS 'time and sequence of the last id given out by next_id()';
SELECT pg_catalog.pg_extension_config_dump('hermet.id_sequence', '');

CREATE FUNCTION hermet.next_id(shard_value bigint DEFAULT 0) RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'hermet_next_id';
COMMENT ON FUNCTION hermet.next_id(bigint) IS
    'a new id, unique across sessions and rising in time; shard_value mod 1024 goes into its middle bits';

CREATE FUNCTION hermet.id_shard(id bigint) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_id_shard';
COMMENT ON FUNCTION hermet.id_shard(bigint) IS 'the shard value (0 to 1023) that an id of next_id() carries';

CREATE FUNCTION hermet.id_time(id bigint) RETURNS bigint
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_id_time';
COMMENT ON FUNCTION hermet.id_time(bigint) IS 'when an id of next_id() was made, in Unix milliseconds';

CREATE FUNCTION hermet.now_ms() RETURNS bigint
    LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_now_ms';
COMMENT ON FUNCTION hermet.now_ms() IS
    'the wall clock in Unix milliseconds, as the column defaults and updated_at use it';
