#include "read/derive.h"

#include "pg/enum.h"
#include "read/delta.h"

extern "C" {
#include "utils/datum.h"
}

namespace hermet {

namespace {

bool mentions(Datum array_value, int64 user)
{
    ArrayType *array = DatumGetArrayTypeP(array_value);
    ArrayIterator elements =
        ARR_NDIM(array) > 0 ? array_create_iterator(array, 0, nullptr) : nullptr;
    bool found = false;
    Datum element;
    bool null;
    while (elements && !found && array_iterate(elements, &element, &null))
        found = !null && DatumGetInt64(element) == user;
    if (elements)
        array_free_iterator(elements);
    return found;
}

bool is_empty(Datum text)
{
    return VARSIZE_ANY_EXHDR(DatumGetPointer(text)) == 0;
}

} // namespace

Unread count_unread(Source &source, int64 user, int64 channel, int64 cursor, int64 joined_at)
{
    namespace m = message_row;
    Unread unread = {0, 0};
    pg::Walk *message = source.scan(Table::message, {channel});
    while (source.next(message, BackwardScanDirection) && message->int8(m::id) > cursor) {
        if (source.unclear())
            break;
        if (message->int8(m::sender) == user || message->int8(m::sent_at) < joined_at ||
            message->int8(m::deleted_at) != 0 || is_system((*message)[m::type]))
            continue;
        unread.messages++;
        if (DatumGetBool((*message)[m::to_all]) || mentions((*message)[m::mentions], user))
            unread.mentions++;
    }
    return unread;
}

Oid type_of_peer_status(const Instance &instance)
{
    Oid view = instance.oid(Table::user_conversation_view);
    AttrNumber column = get_attnum(view, "peer_status");
    return column == InvalidAttrNumber ? InvalidOid : get_atttype(view, column);
}

bool Deriver::can_derive_conversations(Instance &instance)
{
    return Source::can_read(instance, {Table::biz_user, Table::channel, Table::channel_member,
                                       Table::channel_read_record, Table::friendship,
                                       Table::message, Table::conversation_setting}) &&
           (!instance.has_list_hour || Source::can_read(instance, {Table::large_inbox}));
}

bool Deriver::can_derive_contacts(Instance &instance)
{
    return Source::can_read(instance, {Table::biz_user, Table::friendship});
}

void Deriver::begin(Source &source, Oid status_type, int64 now)
{
    source_ = &source;
    status_type_ = status_type;
    now_ = now;
    memory_ = AllocSetContextCreate(CurrentMemoryContext, "hermet derived", ALLOCSET_SMALL_SIZES);
    has_last_ = has_profile_ = false;
}

Datum Deriver::status(const char *label) const
{
    return OidIsValid(status_type_) ? pg::enum_value(status_type_, label) : Datum(0);
}

const Profile &Deriver::profile(int64 user)
{
    namespace u = user_row;
    if (has_profile_ && profile_user_ == user)
        return profile_;
    MemoryContext caller = MemoryContextSwitchTo(memory_);
    has_last_ = false; /* shares the memory */
    MemoryContextReset(memory_);
    if (const pg::Walk *row = source_->find(Table::biz_user, {user})) {
        profile_.nickname = text_of(*row, u::nickname);
        profile_.avatar = text_of(*row, u::avatar);
        profile_.mobile = text_of(*row, u::mobile);
        profile_.version = DatumGetInt32((*row)[u::version]);
        bool deleted = row->int8(u::deleted_at) != 0;
        profile_.status = deleted ? status("deleted") : (*row)[u::status];
        profile_.deleted =
            deleted || (!row->is_null(u::status) && pg::is_label((*row)[u::status], "deleted"));
    }
    else {
        Datum empty = PointerGetDatum(cstring_to_text(""));
        profile_ = {empty, empty, status("active"), empty, 1, false};
    }
    profile_user_ = user;
    has_profile_ = true;
    MemoryContextSwitchTo(caller);
    return profile_;
}

/* Rule 1: the other member of a single channel; of several an active one, then the lowest id. */
int64 Deriver::peer_of(int64 user, int64 channel, bool *found)
{
    namespace m = member_row;
    int64 peer = 0;
    *found = false;
    pg::Walk *member = source_->scan(Table::channel_member, {channel});
    while (source_->next(member)) {
        if (member->int8(m::user) == user)
            continue;
        bool active = member->int8(m::left_at) == 0;
        if (!*found || active)
            peer = member->int8(m::user);
        *found = true;
        if (active)
            break;
    }
    return peer;
}

bool Deriver::conversation(int64 user, int64 channel, ConversationRow &row)
{
    using namespace view_row;
    Datum *v = row.values;
    Datum empty = PointerGetDatum(cstring_to_text(""));

    if (!source_->instance().keeps(user))
        return false;
    pg::Walk *member = source_->find(Table::channel_member, {channel, user});
    if (!member || member->int8(member_row::left_at) != 0)
        return false;
    pg::Walk *c = source_->find(Table::channel, {channel});
    if (!c || c->is_null(channel_row::status) || c->is_null(channel_row::type) ||
        !pg::is_label((*c)[channel_row::status], "active"))
        return false;
    bool single = pg::is_label((*c)[channel_row::type], "single");
    bool has_peer = false;
    int64 peer_user = single ? peer_of(user, channel, &has_peer) : 0;
    if (single && !has_peer)
        return false;

    memset(row.nulls, false, sizeof row.nulls);
    v[view_row::channel] = Int64GetDatum(channel);
    v[view_row::user] = Int64GetDatum(user);
    v[id] = (*member)[member_row::id];
    v[opened_at] = (*member)[member_row::joined_at];
    v[created_at] = (*member)[member_row::created_at];
    v[updated_at] = Int64GetDatum(now_);
    v[type] = (*c)[channel_row::type];
    v[starred] = BoolGetDatum(false);
    if (single) {
        const Profile &shown = profile(peer_user);
        v[peer] = Int64GetDatum(peer_user);
        v[peer_nickname] = v[name] = datumCopy(shown.nickname, false, -1);
        v[peer_avatar] = v[avatar] = datumCopy(shown.avatar, false, -1);
        v[peer_status] = shown.status;
        v[version] = Int32GetDatum(shown.version);
        v[remark] = empty;
        pg::Walk *f = source_->find(Table::friendship, {user, peer_user});
        if (f && f->int8(friend_row::deleted_at) == 0) {
            v[remark] = text_of(*f, friend_row::remark);
            v[starred] = (*f)[friend_row::starred];
            if (!is_empty(v[remark]))
                v[name] = v[remark];
        }
    }
    else {
        v[name] = text_of(*c, channel_row::name);
        v[avatar] = text_of(*c, channel_row::avatar);
        v[version] = (*c)[channel_row::version];
        for (int column : {peer, peer_nickname, peer_avatar, peer_status, remark}) {
            v[column] = Datum(0);
            row.nulls[column] = true;
        }
    }

    if (!has_last_ || last_channel_ != channel) {
        MemoryContext caller = MemoryContextSwitchTo(memory_);
        has_profile_ = false; /* shares the memory */
        MemoryContextReset(memory_);
        last_ = read_last_message(*source_, channel);
        MemoryContextSwitchTo(caller);
        last_channel_ = channel;
        has_last_ = true;
    }
    v[last_id] = Int64GetDatum(last_.id);
    v[last_type] = datumCopy(last_.type, false, -1);
    v[last_content] = datumCopy(last_.content, false, -1);
    v[last_sender] = Int64GetDatum(last_.sender);
    v[last_sender_name] = datumCopy(last_.sender_name, false, -1);
    v[last_time] = Int64GetDatum(last_.time);

    pg::Walk *st = source_->find(Table::conversation_setting, {user, channel});
    v[muted] = st ? (*st)[setting_row::muted] : BoolGetDatum(false);
    v[pinned] = st ? (*st)[setting_row::pinned] : BoolGetDatum(false);
    v[hidden] = st ? (*st)[setting_row::hidden] : BoolGetDatum(false);
    v[marked_unread] = st ? (*st)[setting_row::marked_unread] : BoolGetDatum(false);
    v[view_row::closed_at] =
        Int64GetDatum(st ? closing_time(st->int8(setting_row::closed_at), last_.time) : 0);

    bool large = source_->instance().has_list_hour && source_->find(Table::large_inbox, {user});
    v[list_hour] = Int64GetDatum(large ? hour_of(last_.time, DatumGetInt64(v[opened_at])) : 0);

    pg::Walk *r = source_->find(Table::channel_read_record, {user, channel});
    int64 read_up_to = r ? r->int8(read_row::last_read) : 0;
    Unread counts = count_unread(*source_, user, channel, read_up_to, DatumGetInt64(v[opened_at]));
    v[cursor] = Int64GetDatum(read_up_to);
    v[unread] = Int32GetDatum(counts.messages);
    v[view_row::mentions] = Int32GetDatum(counts.mentions);
    return true;
}

bool Deriver::contact(int64 user, int64 contact, ContactRow &row, bool *live)
{
    using namespace contact_row;
    namespace f = friend_row;
    Datum *v = row.values;
    const Profile &shown = profile(contact);
    pg::Walk *from = source_->find(Table::friendship, {user, contact});
    *live = from && from->int8(f::deleted_at) == 0 && source_->instance().keeps(user);
    if (!*live)
        return false;

    memset(row.nulls, false, sizeof row.nulls);
    v[contact_row::user] = Int64GetDatum(user);
    v[contact_row::contact] = Int64GetDatum(contact);
    v[id] = (*from)[f::id];
    v[nickname] = shown.nickname;
    v[avatar] = shown.avatar;
    v[version] = Int32GetDatum(shown.version);
    v[remark] = (*from)[f::remark];
    v[group] = (*from)[f::group];
    v[tags] = (*from)[f::tags];
    v[starred] = (*from)[f::starred];
    v[blocked] = (*from)[f::blocked];
    v[mobile] = shown.mobile;
    v[source] = (*from)[f::source];
    v[added_at] = (*from)[f::added_at];
    v[deleted_at] = (*from)[f::deleted_at];
    v[created_at] = (*from)[f::created_at];
    v[updated_at] = Int64GetDatum(now_);
    return !shown.deleted;
}

} // namespace hermet
