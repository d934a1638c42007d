/*
 * hermet.explain_conversation(): why an inbox row says what it says. The parts of the definition
 * (see read/definition.cpp) are run again, opened up.
 */
#include "pg/function.h"
#include "read/compare.h"

namespace hermet {

namespace {

/* So many messages are listed, the newest first. */
#define LISTED "100"

/* $1 user, $2 channel. Where the row comes from, or why there is none. */
const char *const explain_sources = R"(
SELECT 'source', x.item, x.expected, NULL, x.reason
  FROM (SELECT $1 AS user_id, $2 AS channel_id) k
  LEFT JOIN {s}.channel_member cm ON cm.user_id = k.user_id AND cm.channel_id = k.channel_id
  LEFT JOIN {s}.channel c ON c.id = k.channel_id
  {peer}
  LEFT JOIN {s}.biz_user p ON p.id = o.user_id
  LEFT JOIN {s}.friendship f ON f.user_id = k.user_id AND f.friend_id = o.user_id
  LEFT JOIN {s}.channel_read_record r ON r.user_id = k.user_id AND r.channel_id = k.channel_id
  LEFT JOIN {s}.conversation_setting st ON st.user_id = k.user_id AND st.channel_id = k.channel_id
  {last_message}
  LEFT JOIN {s}.channel_member s ON s.channel_id = cm.channel_id AND s.user_id = lm.sender_id
  LEFT JOIN {s}.biz_user su ON su.id = lm.sender_id
  CROSS JOIN LATERAL (VALUES
    (1, 'channel', c.id::text,
     CASE WHEN c.id IS NULL THEN 'there is no such channel: no row'
          WHEN c.channel_status <> 'active' THEN format('the channel is %s: no row', c.channel_status)
          ELSE format('%s channel, active', c.channel_type) END),
    (2, 'member', cm.id::text,
     CASE WHEN cm.id IS NULL THEN 'the user never was a member: no row'
          WHEN cm.left_at <> 0 THEN format('the user left at %s: no row', cm.left_at)
          ELSE format('joined at %s', cm.joined_at) END),
    (3, 'peer', o.user_id::text,
     CASE WHEN c.channel_type = 'group' THEN 'a group has none'
          WHEN cm.id IS NULL THEN 'not looked for'
          WHEN o.user_id IS NULL THEN 'no other member: no row'
          WHEN p.id IS NULL THEN 'the other member, without a row in biz_user'
          ELSE 'the other member' END),
    (4, 'friendship', f.id::text,
     CASE WHEN c.channel_type = 'group' THEN 'a group has none'
          WHEN f.id IS NULL THEN 'none with the peer'
          WHEN f.deleted_at <> 0 THEN format('deleted at %s: does not count', f.deleted_at)
          ELSE 'live' END),
    (5, 'name', CASE WHEN c.channel_type = 'group' THEN c.channel_name
                     WHEN f.deleted_at = 0 AND f.remark_name <> '' THEN f.remark_name
                     WHEN c.channel_type = 'single' THEN coalesce(p.nickname, '') END,
     CASE WHEN c.channel_type = 'group' THEN 'channel.channel_name'
          WHEN f.deleted_at = 0 AND f.remark_name <> '' THEN 'friendship.remark_name'
          WHEN p.id IS NOT NULL THEN 'biz_user.nickname of the peer'
          ELSE 'nobody to name' END),
    (6, 'cursor', coalesce(r.last_read_message_id, 0)::text,
     CASE WHEN r.user_id IS NULL THEN 'no read record' ELSE 'channel_read_record.last_read_message_id' END),
    (7, 'last message', coalesce(lm.id, 0)::text,
     CASE WHEN lm.id IS NULL THEN 'no message, or all recalled' ELSE 'the highest id that is not recalled' END),
    (8, 'sender name', {sender_name},
     CASE WHEN lm.id IS NULL THEN 'no message'
          WHEN s.user_id IS NULL THEN format('user %s has no row in channel_member', lm.sender_id)
          WHEN s.nickname <> '' THEN format('channel_member.nickname of user %s', lm.sender_id)
          WHEN su.id IS NULL THEN format('user %s has no row in biz_user', lm.sender_id)
          ELSE format('biz_user.nickname of user %s', lm.sender_id) END),
    (9, 'settings', CASE WHEN st.user_id IS NOT NULL THEN 'own' ELSE 'none' END,
     CASE WHEN st.user_id IS NULL THEN 'no conversation_setting: all off'
          WHEN st.closed_at = 0 THEN 'conversation_setting'
          WHEN st.closed_at > coalesce(lm.sent_at, 0) THEN format('closed at %s, after the last message', st.closed_at)
          ELSE format('closed at %s, reopened by a message of %s', st.closed_at, lm.sent_at) END)
  ) x (ordinal, item, expected, reason)
 ORDER BY x.ordinal)";

/* Of a user whom this read node does not keep. */
const char *const explain_node = R"(
SELECT 'source', 'read node', NULL, NULL,
       format('the user is one of node %s of %s, this is node %s: no row', abs($1 % w.nodes), w.nodes, w.node)
  FROM {s}.hermet_node w WHERE $2 IS NOT NULL)";

/* Stored beside expected, a line a column. */
const char *const explain_columns = R"(
SELECT 'row', coalesce(e.key, a.key), e.value, a.value,
       CASE WHEN d.row IS NULL AND v.row IS NULL THEN 'no row, as it should be'
            WHEN v.row IS NULL THEN 'MISSING: the row should be there'
            WHEN d.row IS NULL THEN 'UNEXPECTED: the row should not be there'
            WHEN e.value COLLATE "C" IS DISTINCT FROM a.value THEN 'STALE'
            ELSE 'right' END
  FROM (SELECT (SELECT to_json(q) FROM (SELECT {columns conversation} FROM ({conversation}) x) q) AS row) d
 CROSS JOIN (SELECT (SELECT to_json(w)
                       FROM (SELECT {columns conversation} FROM {s}.user_conversation_view
                              WHERE user_id = $1 AND channel_id = $2) w) AS row) v
  LEFT JOIN LATERAL json_each_text(coalesce(d.row, v.row)) WITH ORDINALITY n (key, value, ordinal) ON true
  LEFT JOIN LATERAL (SELECT n.key, d.row ->> n.key AS value WHERE d.row IS NOT NULL) e ON true
  LEFT JOIN LATERAL (SELECT n.key, v.row ->> n.key AS value WHERE v.row IS NOT NULL) a ON true
 ORDER BY n.ordinal)";

const char *const columns_scope =
    "(SELECT * FROM {s}.channel_member WHERE user_id = $1 AND channel_id = $2) cm";

/* The messages of the channel, each with the reason why it counts or not. */
const char *const explain_messages = R"(
SELECT 'message', m.id::text, CASE WHEN x.counted THEN 'counted' ELSE 'left out' END, NULL,
       CASE WHEN x.counted AND ({mentioned}) THEN 'unread, and mentions the user'
            WHEN x.counted THEN 'unread'
            WHEN m.deleted_at <> 0 THEN format('recalled at %s', m.deleted_at)
            WHEN m.message_type = 'system' THEN 'a system message'
            WHEN m.sender_id = cm.user_id THEN 'sent by the user himself'
            WHEN m.sent_at < cm.joined_at THEN format('sent at %s, before the user joined', m.sent_at)
            ELSE format('read: the cursor is at %s', coalesce(r.last_read_message_id, 0)) END
  FROM {s}.channel_member cm
  LEFT JOIN {s}.channel_read_record r ON r.user_id = cm.user_id AND r.channel_id = cm.channel_id
  JOIN {s}.message m ON m.channel_id = cm.channel_id
 CROSS JOIN LATERAL (SELECT {counted} AS counted) x
 WHERE cm.user_id = $1 AND cm.channel_id = $2
 ORDER BY m.id DESC
 LIMIT )" LISTED;

const char *const explain_rest = R"(
SELECT 'message', 'older', NULL, NULL, format('%s older messages are not listed', q.n - )" LISTED
                                 R"()
  FROM (SELECT count(*) AS n FROM {s}.message m
         WHERE m.channel_id = $2 AND EXISTS (SELECT FROM {s}.channel_member cm
                                              WHERE cm.user_id = $1 AND cm.channel_id = $2)) q
 WHERE q.n > )" LISTED;

} // namespace

} // namespace hermet

using namespace hermet;

HERMET_FUNCTION(explain_conversation)
{
    ReturnSetInfo *set = pg::begin_set(fcinfo);
    if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
        return Datum(0);
    Instance &instance = find_own_instance(PG_ARGISNULL(2) ? nullptr : PG_GETARG_NAME(2));
    Oid types[] = {INT8OID, INT8OID};
    Datum values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
    char nulls[] = {' ', ' '};
    pg::Parameters parameters = {2, types, values, nulls};

    pg::Session session;
    session.begin(instance.owner);
    if (!instance.keeps(PG_GETARG_INT64(0)))
        pg::execute_into(set, expand(instance, explain_node), parameters);
    for (const char *text : {explain_sources, explain_columns, explain_messages, explain_rest})
        pg::execute_into(set, expand(instance, text, columns_scope), parameters);
    session.end();
    return Datum(0);
}
