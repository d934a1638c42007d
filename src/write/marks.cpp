/*
 * channel_read_record and conversation_setting: what concerns one member's row only. The column
 * group is derived anew, under the channel's key, shared.
 */
#include "pg/function.h"
#include "read/columns.h"
#include "write/firing.h"
#include "write/truncate.h"

namespace hermet {

namespace {

enum { c_user, c_channel, key_count };

constexpr int most_columns = 7;

struct KeySet {
    AttrNumber at[most_columns];
    pg::Vector<std::pair<int64, int64>> pairs; /* channel, user: the order of row locks */
};

/* The keys of the rows of which one of the columns changed; the first two columns are the key. */
template <int n> void add(const Firing &firing, KeySet &keys)
{
    const AttrNumber *at = keys.at;
    auto add_key = [&](const pg::Rows &row) {
        keys.pairs.push_back({row.int8(at[c_channel]), row.int8(at[c_user])});
    };
    if (firing.is_pair()) {
        bool same = true;
        for (int i = 0; i < n && same; i++)
            same = pg::same_image(firing.old_rows, firing.new_rows, at[i]);
        if (same)
            return;
    }
    if (firing.has_old)
        add_key(firing.old_rows);
    if (firing.has_new)
        add_key(firing.new_rows);
}

bool finish(KeySet &keys)
{
    pg::make_unique(keys.pairs);
    return !keys.pairs.empty();
}

/* Shares the channels of the keys and gives the keys as columns. */
ConversationKeys &share(Instance &instance, const KeySet &set)
{
    ConversationKeys &keys = pg::make<ConversationKeys>();
    pg::Vector<int64> &channels = pg::make<pg::Vector<int64>>();
    for (const std::pair<int64, int64> &pair : set.pairs) {
        keys.add(pair.second, pair.first);
        if (channels.empty() || channels.back() != pair.first)
            channels.push_back(pair.first);
    }
    share_channels(instance, channels);
    return keys;
}

const pg::Column read_record_columns[] = {
    {"user_id", INT8OID}, {"channel_id", INT8OID}, {"last_read_message_id", INT8OID}};

const pg::Column setting_columns[] = {{"user_id", INT8OID},      {"channel_id", INT8OID},
                                      {"is_muted", BOOLOID},     {"is_pinned", BOOLOID},
                                      {"is_hidden", BOOLOID},    {"closed_at", INT8OID},
                                      {"marked_unread", BOOLOID}};

const Maintenance<KeySet> read_records = {
    Table::channel_read_record,
    Table::user_conversation_view,
    [](Relation relation, KeySet &keys) {
        pg::find_columns(relation, read_record_columns, lengthof(read_record_columns), keys.at);
    },
    add<lengthof(read_record_columns)>,
    finish,
    [](Firing &firing, KeySet &keys) {
        refresh_cursors(*firing.instance, share(*firing.instance, keys), firing.since);
    },
    refresh_after_truncate};

const Maintenance<KeySet> settings = {
    Table::conversation_setting,
    Table::user_conversation_view,
    [](Relation relation, KeySet &keys) {
        pg::find_columns(relation, setting_columns, lengthof(setting_columns), keys.at);
    },
    add<lengthof(setting_columns)>,
    finish,
    [](Firing &firing, KeySet &keys) {
        refresh_settings(*firing.instance, share(*firing.instance, keys), firing.since);
    },
    refresh_after_truncate};

StaticAssertDecl(lengthof(setting_columns) <= most_columns, "too many columns");

} // namespace

Part &make_channel_read_record_part()
{
    return pg::make<PartOf<KeySet>>(read_records);
}

Part &make_conversation_setting_part()
{
    return pg::make<PartOf<KeySet>>(settings);
}

} // namespace hermet

HERMET_TRIGGER(sync_channel_read_record)
{
    return hermet::maintain(trigger, hermet::read_records);
}

HERMET_TRIGGER(sync_conversation_setting)
{
    return hermet::maintain(trigger, hermet::settings);
}
