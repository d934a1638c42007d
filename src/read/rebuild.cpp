#include "read/rebuild.h"

namespace hermet {

namespace {

/* A list of so many rows is written in one transaction, whatever the size of a batch. */
constexpr size_t whole_list = 1000;

/* Keys by column, in the order of the table's key. */
struct Keys {
    pg::Vector<int64> first;
    pg::Vector<int64> second;
    pg::Vector<int64> third;

    size_t size() const { return first.size(); }
    void add(int64 a, int64 b, int64 c)
    {
        first.push_back(a);
        second.push_back(b);
        third.push_back(c);
    }
    void cut(size_t n)
    {
        first.resize(n);
        second.resize(n);
        third.resize(n);
    }
};

/*
 * Pages: the keys, stored or to be derived, from $1, $2 on, up to $3: at least $4 of them, if there
 * are so many, and all that share the first column (of reverse indexes: the first two) with the
 * last.
 */
const pg::Statement page_of_conversations = {R"(
SELECT k.user_id, k.channel_id, 0::bigint FROM (
  (SELECT t.user_id, t.channel_id FROM {own_members} t
    WHERE t.user_id >= $1 AND t.user_id <= $3 AND (t.user_id > $1 OR t.channel_id >= $2)
    ORDER BY t.user_id FETCH FIRST ($4) ROWS WITH TIES)
  UNION
  (SELECT t.user_id, t.channel_id FROM {s}.user_conversation_view t
    WHERE t.user_id >= $1 AND t.user_id <= $3 AND (t.user_id > $1 OR t.channel_id >= $2)
    ORDER BY t.user_id FETCH FIRST ($4) ROWS WITH TIES)) k
 ORDER BY 1, 2)",
                                             {INT8OID, INT8OID, INT8OID, INT8OID}};

const pg::Statement page_of_contacts = {R"(
SELECT k.user_id, k.contact_id, 0::bigint FROM (
  (SELECT t.user_id, t.friend_id AS contact_id FROM {s}.friendship t
    WHERE t.user_id >= $1 AND t.user_id <= $3 AND (t.user_id > $1 OR t.friend_id >= $2)
    ORDER BY t.user_id FETCH FIRST ($4) ROWS WITH TIES)
  UNION
  (SELECT t.user_id, t.contact_id FROM {s}.user_contact_view t
    WHERE t.user_id >= $1 AND t.user_id <= $3 AND (t.user_id > $1 OR t.contact_id >= $2)
    ORDER BY t.user_id FETCH FIRST ($4) ROWS WITH TIES)) k
 ORDER BY 1, 2)",
                                        {INT8OID, INT8OID, INT8OID, INT8OID}};

const pg::Statement page_of_conversation_reverse = {R"(
SELECT t.peer_user_id, t.owner_user_id, t.channel_id FROM {s}.conversation_reverse_index t
 WHERE (t.peer_user_id, t.owner_user_id) >= ($1, $2) AND t.peer_user_id <= $3
 ORDER BY t.peer_user_id, t.owner_user_id FETCH FIRST ($4) ROWS WITH TIES)",
                                                    {INT8OID, INT8OID, INT8OID, INT8OID}};

const pg::Statement page_of_contact_reverse = {R"(
SELECT t.contact_user_id, t.owner_user_id, 0::bigint FROM {s}.contact_reverse_index t
 WHERE (t.contact_user_id, t.owner_user_id) >= ($1, $2) AND t.contact_user_id <= $3
 ORDER BY t.contact_user_id, t.owner_user_id FETCH FIRST ($4) ROWS WITH TIES)",
                                               {INT8OID, INT8OID, INT8OID, INT8OID}};

const pg::Statement page_of_channels = {R"(
SELECT t.id, 0::bigint, 0::bigint FROM {s}.channel t
 WHERE t.id >= $1 AND $2 IS NOT NULL AND t.id <= $3 ORDER BY t.id LIMIT $4)",
                                        {INT8OID, INT8OID, INT8OID, INT8OID}};

/*
 * Which of the keys $1, $2, $3 are wrong. NOT IN is a hash here: its cost does not hang on how many
 * rows the planner expects. Asked of the keys, it leaves few stored rows to be looked up.
 */
const pg::Statement wrong_conversations = {R"(
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (user_id, channel_id, unused)),
     d AS MATERIALIZED ({conversation})
SELECT d.user_id, d.channel_id, 0::bigint
  FROM d
  LEFT JOIN {s}.user_conversation_view v ON v.user_id = d.user_id AND v.channel_id = d.channel_id
  LEFT JOIN {s}.conversation_reverse_index r
    ON r.peer_user_id = d.peer_user_id AND r.owner_user_id = d.user_id AND r.channel_id = d.channel_id
 WHERE v.user_id IS NULL OR {differs conversation}
    OR d.peer_user_id IS NOT NULL AND r.created_at IS DISTINCT FROM d.created_at
UNION ALL
SELECT v.user_id, v.channel_id, 0
  FROM k JOIN {s}.user_conversation_view v ON v.user_id = k.user_id AND v.channel_id = k.channel_id
 WHERE (k.user_id, k.channel_id) NOT IN (SELECT d.user_id, d.channel_id FROM d))",
                                           {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
                                           "k JOIN {s}.channel_member cm ON cm.user_id = k.user_id "
                                           "AND cm.channel_id = k.channel_id"};

const pg::Statement wrong_contacts = {R"(
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (user_id, contact_id, unused)),
     d AS MATERIALIZED ({contact}),
     e AS MATERIALIZED ({contact_reverse})
SELECT d.user_id, d.contact_id, 0::bigint
  FROM d LEFT JOIN {s}.user_contact_view v ON v.user_id = d.user_id AND v.contact_id = d.contact_id
 WHERE v.user_id IS NULL OR {differs contact}
UNION
SELECT e.owner_user_id, e.contact_user_id, 0
  FROM e LEFT JOIN {s}.contact_reverse_index r ON r.contact_user_id = e.contact_user_id AND r.owner_user_id = e.owner_user_id
 WHERE r.created_at IS DISTINCT FROM e.created_at
UNION
SELECT v.user_id, v.contact_id, 0
  FROM k JOIN {s}.user_contact_view v ON v.user_id = k.user_id AND v.contact_id = k.contact_id
 WHERE (k.user_id, k.contact_id) NOT IN (SELECT d.user_id, d.contact_id FROM d))",
                                      {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
                                      "k JOIN {s}.friendship f ON f.user_id = k.user_id AND "
                                      "f.friend_id = k.contact_id"};

/* Of reverse rows only whether they should be there: the others were looked for by their owners. */
const pg::Statement surplus_conversation_reverse = {
    R"(
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (peer_user_id, user_id, channel_id)),
     d AS MATERIALIZED ({conversation_reverse})
SELECT k.peer_user_id, k.user_id, k.channel_id
  FROM k
 WHERE (k.peer_user_id, k.user_id, k.channel_id) NOT IN (
        SELECT d.peer_user_id, d.owner_user_id, d.channel_id FROM d))",
    {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
    "(SELECT DISTINCT k.user_id, k.channel_id FROM k) k "
    "JOIN {s}.channel_member cm ON cm.user_id = "
    "k.user_id AND cm.channel_id = k.channel_id"};

const pg::Statement surplus_contact_reverse = {R"(
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (contact_id, user_id, unused)),
     e AS MATERIALIZED ({contact_reverse})
SELECT k.contact_id, k.user_id, 0::bigint
  FROM k WHERE (k.contact_id, k.user_id) NOT IN (SELECT e.contact_user_id, e.owner_user_id FROM e))",
                                               {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
                                               "k JOIN {s}.friendship f ON f.user_id = k.user_id "
                                               "AND f.friend_id = k.contact_id"};

const pg::Statement wrong_channels = {R"(
WITH k AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (channel_id, unused, none)),
     d AS MATERIALIZED ({owned})
SELECT d.id, 0::bigint, 0::bigint
  FROM d JOIN {s}.channel c ON c.id = d.id
 WHERE (c.channel_member_count, c.last_message_at, c.last_message_id)
    <> (d.channel_member_count, d.last_message_at, d.last_message_id))",
                                      {INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID},
                                      "k cm"};

const pg::Vector<int64> &no_ids()
{
    return pg::make<pg::Vector<int64>>();
}

void mend_rows_of_users(Instance &instance, const Keys &wrong, Repaired &repaired)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    keys.users = wrong.first;
    keys.channels = wrong.second;
    mend_conversations(instance, sorted(keys), no_ids(), no_ids(), repaired);
}

void mend_rows_of_peers(Instance &instance, const Keys &wrong, Repaired &repaired)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    keys.users = wrong.second;
    keys.channels = wrong.third;
    mend_conversations(instance, keys, wrong.first, no_ids(), repaired);
}

void mend_rows_of_channels(Instance &instance, const Keys &wrong, Repaired &repaired)
{
    mend_conversations(instance, pg::make<ConversationKeys>(), no_ids(), wrong.first, repaired);
}

void mend_friends(Instance &instance, const Keys &wrong, Repaired &repaired)
{
    ContactKeys &keys = pg::make<ContactKeys>();
    keys.users = wrong.first;
    keys.contacts = wrong.second;
    mend_contacts(instance, keys, repaired);
}

void mend_owners(Instance &instance, const Keys &wrong, Repaired &repaired)
{
    ContactKeys &keys = pg::make<ContactKeys>();
    keys.users = wrong.second;
    keys.contacts = wrong.first;
    mend_contacts(instance, keys, repaired);
}

struct Part {
    const char *table;
    const pg::Statement *page;
    const pg::Statement *wrong;
    void (*mend)(Instance &instance, const Keys &wrong, Repaired &repaired);
};

const Part parts[] = {
    {"user_conversation_view", &page_of_conversations, &wrong_conversations, mend_rows_of_users},
    {"conversation_reverse_index", &page_of_conversation_reverse, &surplus_conversation_reverse,
     mend_rows_of_peers},
    {"channel", &page_of_channels, &wrong_channels, mend_rows_of_channels},
    {"user_contact_view", &page_of_contacts, &wrong_contacts, mend_friends},
    {"contact_reverse_index", &page_of_contact_reverse, &surplus_contact_reverse, mend_owners},
};

const Part &part_of(const Derived &derived)
{
    for (const Part &part : parts)
        if (strcmp(part.table, derived.table) == 0)
            return part;
    elog(ERROR, "table \"%s\" is not rebuilt", derived.table);
}

Keys &read_keys(const pg::Result &rows)
{
    Keys &keys = pg::make<Keys>();
    for (uint64 i = 0; i < rows.count; i++)
        keys.add(rows.int8(i, 0), rows.int8(i, 1), rows.int8(i, 2));
    return keys;
}

/*
 * How many of a page's keys a batch takes: whole lists, as many as go into `size`; the first one in
 * any case, unless it is too long.
 */
size_t length_of_batch(const Keys &keys, size_t size)
{
    if (keys.size() <= size)
        return keys.size();
    size_t end = size;
    while (end > 0 && keys.first[end] == keys.first[end - 1])
        end--;
    if (end > 0)
        return end;
    size_t longest = Max(size, whole_list);
    end =
        std::upper_bound(keys.first.begin(), keys.first.end(), keys.first[0]) - keys.first.begin();
    if (end <= longest)
        return end;
    end = longest;
    while (end < keys.size() && keys.first[end] == keys.first[end - 1] &&
           keys.second[end] == keys.second[end - 1])
        end++;
    return end;
}

/* Behind the last key: behind its list, if the page holds no more of it. */
Position behind(int64 first, int64 second, bool list_ends, bool *nothing)
{
    *nothing = false;
    if (!list_ends && second < PG_INT64_MAX)
        return {first, second + 1};
    if (first < PG_INT64_MAX)
        return {first + 1, PG_INT64_MIN};
    *nothing = true;
    return {first, second};
}

} // namespace

Batch rebuild_batch(Instance &instance, const Derived &derived, Position from, int64 to, int size,
                    bool all)
{
    const Part &part = part_of(derived);
    Batch batch = {from, true, 0, {}};
    Keys &keys = read_keys(run(instance, *part.page,
                               {Int64GetDatum(from.first), Int64GetDatum(from.second),
                                Int64GetDatum(to), Int64GetDatum(size)}));
    if (keys.size() == 0)
        return batch;

    bool last_page = keys.size() < static_cast<size_t>(size);
    size_t length = length_of_batch(keys, size);
    bool list_ends = length < keys.size() ? keys.first[length] != keys.first[length - 1]
                                          : part.page != &page_of_conversation_reverse &&
                                                part.page != &page_of_contact_reverse;
    batch.next =
        behind(keys.first[length - 1], keys.second[length - 1], list_ends, &batch.finished);
    batch.finished |= last_page;
    keys.cut(length);
    batch.rows = static_cast<int64>(length);

    const Keys &wrong =
        all ? keys
            : read_keys(run(instance, *part.wrong,
                            {pg::int8_array(keys.first), pg::int8_array(keys.second),
                             pg::int8_array(keys.third)}));
    if (wrong.size() > 0)
        part.mend(instance, wrong, batch.repaired);
    return batch;
}

} // namespace hermet
