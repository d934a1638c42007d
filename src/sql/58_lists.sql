/* What applications read, with their own rights; and whom of it the read side serves. */

CREATE FUNCTION hermet.conversation_list(user_id bigint, max_rows int DEFAULT 50, after jsonb DEFAULT NULL,
                                         include_hidden boolean DEFAULT false, target name DEFAULT NULL)
    RETURNS TABLE (id bigint, user_id bigint, channel_id bigint, conversation_type text, conversation_name varchar,
                   conversation_avatar varchar, conversation_info_ver int, peer_user_id bigint, peer_nickname varchar,
                   peer_avatar varchar, peer_status text, remark_name varchar, is_muted boolean, is_pinned boolean,
                   is_hidden boolean, is_starred boolean, marked_unread boolean, last_message_id bigint,
                   last_message_type varchar, last_message_content varchar, last_message_sender_id bigint,
                   last_message_sender_name varchar, last_message_time bigint, last_read_message_id bigint,
                   unread_count int, mention_count int, opened_at bigint, closed_at bigint, created_at bigint,
                   updated_at bigint, cursor jsonb)
    LANGUAGE c STABLE ROWS 50 AS 'MODULE_PATHNAME', 'hermet_conversation_list';
COMMENT ON FUNCTION hermet.conversation_list(bigint, int, jsonb, boolean, name) IS
    'a page of the inbox in order, without closed and hidden conversations; "after" is the column cursor of the last row of the page before';

CREATE FUNCTION hermet.contact_list(user_id bigint, max_rows int DEFAULT 50, after jsonb DEFAULT NULL, target name DEFAULT NULL)
    RETURNS TABLE (id bigint, user_id bigint, contact_id bigint, contact_nickname varchar, contact_avatar varchar,
                   contact_info_ver int, remark_name varchar, group_name varchar, tags varchar[], is_starred boolean,
                   is_blocked boolean, mobile varchar, source text, added_at bigint, deleted_at bigint, created_at bigint,
                   updated_at bigint, cursor jsonb)
    LANGUAGE c STABLE ROWS 50 AS 'MODULE_PATHNAME', 'hermet_contact_list';
COMMENT ON FUNCTION hermet.contact_list(bigint, int, jsonb, name) IS
    'a page of the address book, starred contacts first, then by displayed name; "after" is the column cursor of the last row of the page before';

CREATE FUNCTION hermet.unread_totals(user_id bigint, target name DEFAULT NULL)
    RETURNS TABLE (messages bigint, unmuted_messages bigint, mentions bigint, conversations bigint)
    LANGUAGE c STABLE ROWS 1 AS 'MODULE_PATHNAME', 'hermet_unread_totals';
COMMENT ON FUNCTION hermet.unread_totals(bigint, name) IS
    'unread messages and mentions of a user, and his conversations with some or marked as unread; closed and hidden ones left out';

CREATE FUNCTION hermet.conversation_cursor(is_pinned boolean, moved_at bigint, channel_id bigint) RETURNS jsonb
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_conversation_cursor';
COMMENT ON FUNCTION hermet.conversation_cursor(boolean, bigint, bigint) IS
    'the cursor of conversation_list() behind the row with these values; moved_at is the later of last_message_time and opened_at';

CREATE FUNCTION hermet.contact_cursor(is_starred boolean, name text, id bigint, contact_id bigint) RETURNS jsonb
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'hermet_contact_cursor';
COMMENT ON FUNCTION hermet.contact_cursor(boolean, text, bigint, bigint) IS
    'the cursor of contact_list() behind the row with these values; name is the displayed name';

CREATE FUNCTION hermet.set_rollout(percent float8, shadow boolean DEFAULT false, target name DEFAULT NULL) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  IF percent IS NULL OR shadow IS NULL THEN
    RAISE EXCEPTION 'percent and shadow must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF NOT percent BETWEEN 0 AND 100 THEN
    RAISE EXCEPTION 'percent must be between 0 and 100' USING ERRCODE = 'invalid_parameter_value',
      HINT = '0 serves everybody by the join of the write side, 100 everybody from the read side.';
  END IF;
  IF to_regclass(format('%I.hermet_rollout', target)) IS NULL THEN
    RAISE EXCEPTION 'table "%.hermet_rollout" of the hermet instance does not exist', target
      USING ERRCODE = 'undefined_table', HINT = 'hermet.upgrade() makes it.';
  END IF;
  EXECUTE format('LOCK TABLE %I.hermet_rollout IN SHARE ROW EXCLUSIVE MODE', target);
  -- At REPEATABLE READ a row that came meanwhile is not seen, nor deleted: then this one is not as it was, either, which is 40001.
  EXECUTE format('UPDATE %I.hermet_instance SET version = version', target);
  EXECUTE format('DELETE FROM %I.hermet_rollout', target);
  EXECUTE format('INSERT INTO %I.hermet_rollout (percent, shadow) VALUES ($1, $2)', target) USING percent, shadow;
  IF percent < 100 AND EXISTS (SELECT FROM pg_class c
                                WHERE c.relrowsecurity
                                  AND c.oid IN (to_regclass(format('%I.user_conversation_view', target)),
                                                to_regclass(format('%I.user_contact_view', target)))) THEN
    RAISE NOTICE 'roles that row security restricts are served from the read side at any percentage'
      USING DETAIL = 'A policy of the read side cannot be applied to the join; one that is USING (true) restricts nobody.';
  END IF;
END
$$;
COMMENT ON FUNCTION hermet.set_rollout(float8, boolean, name) IS
    'so many percent of the users get their lists from the read side, the others by the join; shadow computes both and notes what differs';

CREATE FUNCTION hermet.rollout(target name DEFAULT NULL)
    RETURNS TABLE (percent float8, shadow boolean, changed_at bigint, mismatches bigint, last_mismatch jsonb)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  target := hermet.resolve_target(target);
  PERFORM hermet.require_owner(target);
  percent := 100;
  shadow := false;
  changed_at := 0;
  mismatches := 0;
  IF to_regclass(format('%I.hermet_rollout', target)) IS NOT NULL THEN
    EXECUTE format('SELECT r.percent, r.shadow, r.changed_at FROM (SELECT) x LEFT JOIN %I.hermet_rollout r ON true', target)
       INTO percent, shadow, changed_at;
    EXECUTE format('SELECT count(*), (SELECT to_jsonb(l) FROM %1$I.hermet_mismatch l ORDER BY l.id DESC LIMIT 1) FROM %1$I.hermet_mismatch', target)
       INTO mismatches, last_mismatch;
  END IF;
  percent := coalesce(percent, 100);
  shadow := coalesce(shadow, false);
  changed_at := coalesce(changed_at, 0);
  RETURN NEXT;
END
$$;
COMMENT ON FUNCTION hermet.rollout(name) IS
    'what set_rollout() said last, how many mismatches are kept (of the last 1000), and the latest of them';

CREATE FUNCTION hermet.rollout_includes(user_id bigint, target name DEFAULT NULL) RETURNS boolean
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'hermet_rollout_includes';
COMMENT ON FUNCTION hermet.rollout_includes(bigint, name) IS
    'whether set_rollout()''s percentage has this user served from the read side';
