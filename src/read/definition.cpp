#include "read/definition.h"

#include "instance/instance.h"

#include <cstring>

namespace hermet {

namespace {

constexpr const char *conversation_columns[] = {
    "user_id",
    "channel_id",
    "id",
    "conversation_type",
    "conversation_name",
    "conversation_avatar",
    "conversation_info_ver",
    "peer_user_id",
    "peer_nickname",
    "peer_avatar",
    "peer_status",
    "remark_name",
    "is_muted",
    "is_pinned",
    "is_hidden",
    "is_starred",
    "marked_unread",
    "last_message_id",
    "last_message_type",
    "last_message_content",
    "last_message_sender_id",
    "last_message_sender_name",
    "last_message_time",
    "last_read_message_id",
    "unread_count",
    "mention_count",
    "opened_at",
    "closed_at",
    "created_at",
    "list_hour",
    nullptr,
};

/* Of an instance without list_hour: the same but the last one. */
struct EarlierColumns {
    const char *names[lengthof(conversation_columns) - 1];
    constexpr EarlierColumns() : names()
    {
        for (size_t i = 0; i + 1 < lengthof(names); i++)
            names[i] = conversation_columns[i];
    }
};
constexpr EarlierColumns earlier;

const char *const contact_columns[] = {
    "user_id",        "contact_id",       "id",          "contact_nickname",
    "contact_avatar", "contact_info_ver", "remark_name", "group_name",
    "tags",           "is_starred",       "is_blocked",  "mobile",
    "source",         "added_at",         "deleted_at",  "created_at",
    nullptr,
};

const char *const conversation_reverse_columns[] = {"peer_user_id", "owner_user_id", "channel_id",
                                                    "created_at", nullptr};
const char *const contact_reverse_columns[] = {"contact_user_id", "owner_user_id", "created_at",
                                               nullptr};
const char *const owned_columns[] = {"id", "channel_member_count", "last_message_at",
                                     "last_message_id", nullptr};

/* Column groups of a conversation row that one key guards: see read/protocol.h. */
const char *const cursor_columns[] = {"last_read_message_id", "unread_count", "mention_count",
                                      nullptr};
const char *const setting_columns[] = {"is_muted",      "is_pinned", "is_hidden",
                                       "marked_unread", "closed_at", nullptr};
const char *const group_columns[] = {"conversation_name", "conversation_avatar",
                                     "conversation_info_ver", nullptr};

struct ColumnList {
    const char *name;
    const char *const *columns;
};

const ColumnList column_lists[] = {
    {"conversation", conversation_columns},
    {"contact", contact_columns},
    {"cursor", cursor_columns},
    {"setting", setting_columns},
    {"group", group_columns},
};

const ColumnList earlier_conversation = {"conversation", earlier.names};

struct Part {
    const char *name;
    const char *text;
};

const Part parts[] = {
    /* Rules 1 to 6: a row for each member of {scope}, which calls the membership cm. */
    {"conversation", R"(
SELECT cm.id, cm.user_id, cm.channel_id,
       c.channel_type AS conversation_type,
       CASE WHEN c.channel_type = 'group' THEN c.channel_name
            WHEN f.remark_name <> '' THEN f.remark_name
            ELSE coalesce(p.nickname, '') END AS conversation_name,
       CASE WHEN c.channel_type = 'group' THEN c.channel_avatar
            ELSE coalesce(p.avatar, '') END AS conversation_avatar,
       CASE WHEN c.channel_type = 'group' THEN c.channel_info_ver
            ELSE coalesce(p.info_ver, 1) END AS conversation_info_ver,
       o.user_id AS peer_user_id,
       CASE WHEN c.channel_type = 'single' THEN coalesce(p.nickname, '') END AS peer_nickname,
       CASE WHEN c.channel_type = 'single' THEN coalesce(p.avatar, '') END AS peer_avatar,
       CASE WHEN c.channel_type = 'single' THEN {status_of_peer} END AS peer_status,
       CASE WHEN c.channel_type = 'single' THEN coalesce(f.remark_name, '') END AS remark_name,
       coalesce(st.is_muted, false) AS is_muted,
       coalesce(st.is_pinned, false) AS is_pinned,
       coalesce(st.is_hidden, false) AS is_hidden,
       coalesce(f.is_starred, false) AS is_starred,
       coalesce(st.marked_unread, false) AS marked_unread,
       coalesce(lm.id, 0) AS last_message_id,
       coalesce(lm.message_type, '') AS last_message_type,
       coalesce(lm.content, '') AS last_message_content,
       coalesce(lm.sender_id, 0) AS last_message_sender_id,
       {sender_name} AS last_message_sender_name,
       coalesce(lm.sent_at, 0) AS last_message_time,
       coalesce(r.last_read_message_id, 0) AS last_read_message_id,
       n.unread_count, n.mention_count,
       cm.joined_at AS opened_at,
       CASE WHEN st.closed_at > coalesce(lm.sent_at, 0) THEN st.closed_at ELSE 0 END AS closed_at,
       cm.created_at{list_hour}
  FROM {scope}
  JOIN {s}.channel c ON c.id = cm.channel_id
  {peer}
  LEFT JOIN {s}.biz_user p ON p.id = o.user_id
  LEFT JOIN {s}.friendship f ON f.user_id = cm.user_id AND f.friend_id = o.user_id AND f.deleted_at = 0
  LEFT JOIN {s}.channel_read_record r ON r.user_id = cm.user_id AND r.channel_id = cm.channel_id
  LEFT JOIN {s}.conversation_setting st ON st.user_id = cm.user_id AND st.channel_id = cm.channel_id
  {large_inbox}
  {last_message}
  LEFT JOIN LATERAL (
    SELECT count(*)::int AS unread_count, (count(*) FILTER (WHERE {mentioned}))::int AS mention_count
      FROM {s}.message m
     WHERE m.channel_id = cm.channel_id AND {counted}) n ON true
 WHERE cm.left_at = 0 AND c.channel_status = 'active'
   AND (c.channel_type = 'group' OR o.user_id IS NOT NULL){of_own_member})"},

    {"list_hour", R"(,
       CASE WHEN big.user_id IS NOT NULL
            THEN greatest(lm.sent_at, cm.joined_at, 0) / 3600000 + 1 ELSE 0 END AS list_hour)"},
    {"large_inbox", "LEFT JOIN {s}.hermet_large_inbox big ON big.user_id = cm.user_id"},
    /* Of a stored conversation row v. */
    {"stored_hour", "v.list_hour"},

    /* Rule 1: the other member of a single channel; of several an active one, then the lowest id.
     */
    {"peer", R"(LEFT JOIN LATERAL (
    SELECT x.user_id
      FROM {s}.channel_member x
     WHERE c.channel_type = 'single' AND x.channel_id = cm.channel_id AND x.user_id <> cm.user_id
     ORDER BY x.left_at <> 0, x.user_id
     LIMIT 1) o ON true)"},
    {"status_of_peer",
     R"(CASE WHEN p.deleted_at <> 0 THEN 'deleted' ELSE coalesce(p.user_status, 'active') END)"},

    /* Rule 4. */
    {"last_message", R"(LEFT JOIN LATERAL (
    SELECT y.id, y.message_type, left(y.content, 512)::varchar(512) AS content, y.sender_id, y.sent_at
      FROM {s}.message y
     WHERE y.channel_id = cm.channel_id AND y.deleted_at = 0
     ORDER BY y.id DESC
     LIMIT 1) lm ON true)"},
    /* A lookup, not a join: only where the name is asked for, and always by both columns. */
    {"sender_name", R"(coalesce((
         SELECT CASE WHEN s.nickname <> '' THEN s.nickname
                     ELSE (SELECT su.nickname FROM {s}.biz_user su WHERE su.id = s.user_id) END
           FROM {s}.channel_member s
          WHERE s.channel_id = cm.channel_id AND s.user_id = lm.sender_id), ''))"},

    /* Rule 5: of a message m, for the membership cm with the read record r. */
    {"counted", R"(m.id > coalesce(r.last_read_message_id, 0) AND m.sender_id <> cm.user_id
       AND m.sent_at >= cm.joined_at AND m.deleted_at = 0 AND m.message_type <> 'system')"},
    {"mentioned", "m.mention_all OR cm.user_id = ANY (m.mention_user_ids)"},

    /* Rule 7. */
    {"contact", R"(
SELECT f.id, f.user_id, f.friend_id AS contact_id,
       coalesce(b.nickname, '') AS contact_nickname,
       coalesce(b.avatar, '') AS contact_avatar,
       coalesce(b.info_ver, 1) AS contact_info_ver,
       f.remark_name, f.group_name, f.tags, f.is_starred, f.is_blocked,
       coalesce(b.mobile, '') AS mobile,
       f.source, f.added_at, f.deleted_at, f.created_at
  FROM {scope}
  LEFT JOIN {s}.biz_user b ON b.id = f.friend_id
 WHERE f.deleted_at = 0
   AND coalesce(b.deleted_at, 0) = 0 AND coalesce(b.user_status, 'active') <> 'deleted'{of_own_friend})"},

    /* Rule 8. */
    {"conversation_reverse", R"(
SELECT q.peer_user_id, q.user_id AS owner_user_id, q.channel_id, q.created_at
  FROM ({conversation}) q
 WHERE q.conversation_type = 'single')"},
    {"contact_reverse", R"(
SELECT f.friend_id AS contact_user_id, f.user_id AS owner_user_id, f.created_at
  FROM {scope}
 WHERE f.deleted_at = 0{of_own_friend})"},

    /* What a read node leaves out: see node_parts. */
    {"of_own_member", ""},
    {"of_own_friend", ""},
    {"own_members", "{s}.channel_member"},

    /* The columns of channel that hermet owns. */
    {"owned", R"(
SELECT cm.channel_id AS id,
       (SELECT count(*) FROM {s}.channel_member z
         WHERE z.channel_id = cm.channel_id AND z.left_at = 0)::int AS channel_member_count,
       coalesce(lm.sent_at, 0) AS last_message_at,
       coalesce(lm.id, 0) AS last_message_id
  FROM {scope}
  {last_message})"},

    /* Scopes. */
    {"all_members", "{s}.channel_member cm"},
    {"members_of_keys", R"(unnest($1::bigint[], $2::bigint[]) k (user_id, channel_id)
  JOIN {s}.channel_member cm ON cm.user_id = k.user_id AND cm.channel_id = k.channel_id)"},
    {"members_of_channels", R"(unnest($1::bigint[]) k (channel_id)
  JOIN {s}.channel_member cm ON cm.channel_id = k.channel_id)"},
    /*
     * OFFSET 0: else the planner compares everything with $1 and not with the membership, and joins
     * all that a user has with all that he has.
     */
    {"members_of_user", "(SELECT * FROM {s}.channel_member WHERE user_id = $1 OFFSET 0) cm"},
    {"all_friendships", "{s}.friendship f"},
    {"friendships_of_user", "(SELECT * FROM {s}.friendship WHERE user_id = $1 OFFSET 0) f"},
    {"members_in_range", R"((SELECT * FROM {s}.channel_member x
   WHERE x.channel_id BETWEEN $2 AND $3) cm)"},
    {"friendships_in_range",
     "(SELECT * FROM {s}.friendship x WHERE x.user_id BETWEEN $2 AND $3) f"},
    {"all_channels", "(SELECT id AS channel_id FROM {s}.channel) cm"},
    {"channels_of_keys", "unnest($1::bigint[]) cm (channel_id)"},
};

/* A list of columns: each as `each` says, where %c is the column. */
void append_columns(StringInfo out, const char *const *columns, const char *each)
{
    for (int i = 0; columns[i]; i++) {
        if (i > 0)
            appendStringInfoString(out, ", ");
        for (const char *p = each; *p; p++) {
            if (*p == '%')
                appendStringInfoString(out, columns[i]);
            else
                appendStringInfoChar(out, *p);
        }
    }
}

/* What is not there in an instance without list_hour. */
const Part earlier_parts[] = {
    {"list_hour", ""}, {"large_inbox", ""}, {"stored_hour", "0::pg_catalog.int8"}};

/*
 * A read node keeps the rows of its users only, though it has the members, users and messages of
 * all: hermet_node says which.
 */
#define KEEPS(user)                                                                                \
    "abs(" user " % (SELECT w.nodes FROM {s}.hermet_node w)) = "                                   \
    "(SELECT w.node FROM {s}.hermet_node w)"

const Part node_parts[] = {
    {"of_own_member", "\n   AND " KEEPS("cm.user_id")},
    {"of_own_friend", "\n   AND " KEEPS("f.user_id")},
    {"own_members", "(SELECT * FROM {s}.channel_member own WHERE " KEEPS("own.user_id") ")"},
};

/* "columns X", "d X", "set X", "differs X" of a list X; palloc'd, NULL if it is none of them. */
const char *column_fragment(const ColumnList &list, const char *name, size_t length)
{
    size_t list_length = strlen(list.name);
    if (length <= list_length + 1 || name[length - list_length - 1] != ' ' ||
        strncmp(name + length - list_length, list.name, list_length) != 0)
        return nullptr;

    size_t verb = length - list_length - 1;
    auto is = [=](const char *word) {
        return verb == strlen(word) && strncmp(name, word, verb) == 0;
    };
    StringInfoData out;
    initStringInfo(&out);
    if (is("columns"))
        append_columns(&out, list.columns, "%");
    else if (is("d"))
        append_columns(&out, list.columns, "d.%");
    else if (is("set"))
        append_columns(&out, list.columns, "% = d.%");
    else if (is("differs")) {
        /* Byte for byte: what is equal only by collation must still be copied. */
        appendStringInfoString(&out, "(ROW(");
        append_columns(&out, list.columns, "v.%");
        appendStringInfoString(&out, ")::record) *<> (ROW(");
        append_columns(&out, list.columns, "d.%");
        appendStringInfoString(&out, ")::record)");
    }
    else
        return nullptr;
    return out.data;
}

const char *find_part(const Part *first, const Part *end, const char *name, size_t length)
{
    for (const Part *part = first; part != end; part++)
        if (strlen(part->name) == length && strncmp(part->name, name, length) == 0)
            return part->text;
    return nullptr;
}

const char *fragment(const char *name, size_t length)
{
    const char *text = find_part(std::begin(parts), std::end(parts), name, length);
    for (const ColumnList &list : column_lists)
        if (!text)
            text = column_fragment(list, name, length);
    return text;
}

const char *node_fragment(const char *name, size_t length)
{
    const char *text = find_part(std::begin(node_parts), std::end(node_parts), name, length);
    return text ? text : fragment(name, length);
}

const char *earlier_fragment(const char *name, size_t length)
{
    const char *text = find_part(std::begin(earlier_parts), std::end(earlier_parts), name, length);
    if (!text)
        text = column_fragment(earlier_conversation, name, length);
    return text ? text : fragment(name, length);
}

} // namespace

const Derived derived_tables[derived_count] = {
    {"user_conversation_view", "conversation", 2, conversation_columns},
    {"user_contact_view", "contact", 2, contact_columns},
    {"conversation_reverse_index", "conversation_reverse", 3, conversation_reverse_columns},
    {"contact_reverse_index", "contact_reverse", 2, contact_reverse_columns},
    {"channel", "owned", 1, owned_columns},
};

const Derived *find_derived(const char *table)
{
    for (const Derived &derived : derived_tables)
        if (strcmp(derived.table, table) == 0)
            return &derived;
    return nullptr;
}

const Derived &as_in(const Instance &instance, const Derived &derived)
{
    static const Derived earlier_view = {"user_conversation_view", "conversation", 2,
                                         earlier.names};
    bool is_view = derived.columns == conversation_columns;
    return is_view && !instance.has_list_hour ? earlier_view : derived;
}

pg::Fragment fragments_of(const Instance &instance)
{
    if (instance.is_node())
        return node_fragment;
    return instance.has_list_hour ? fragment : earlier_fragment;
}

} // namespace hermet
