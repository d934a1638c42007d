#include "read/delta.h"

namespace hermet {

bool is_system(Datum type)
{
    const struct varlena *text = PG_DETOAST_DATUM_PACKED(type);
    return VARSIZE_ANY_EXHDR(text) == 6 && memcmp(VARDATA_ANY(text), "system", 6) == 0;
}

void DeltaSum::start(const MessageDelta *first, const MessageDelta *end, const int64 *mentioned)
{
    first_ = first;
    end_ = end;
    mentioned_ = mentioned;
    min_id_ = min_sent_at_ = PG_INT64_MAX;
    unread_ = to_all_ = 0;
    exceptions_.clear();

    for (const MessageDelta *m = first; m != end; m++) {
        if (!m->countable)
            continue;
        min_id_ = Min(min_id_, m->id);
        min_sent_at_ = Min(min_sent_at_, m->sent_at);
        unread_ += m->sign;
        if (m->mention_all)
            to_all_ += m->sign;
        exceptions_.add(m->sender, {m->sign, m->mention_all ? m->sign : 0, 0});
        if (m->mention_all)
            continue;
        for (int i = 0; i < m->mentions; i++) {
            int64 user = mentioned[m->mentioned + i];
            if (user != m->sender)
                exceptions_.add(user, {0, 0, m->sign});
        }
    }
    exceptions_.finish();
}

void DeltaSum::count(int64 user, int64 cursor, int64 joined_at, int64 *unread,
                     int64 *mentions) const
{
    if (cursor < min_id_ && joined_at <= min_sent_at_) {
        *unread = unread_;
        *mentions = to_all_;
        if (const Exception *exception = exceptions_.find(user)) {
            *unread -= exception->own;
            *mentions += exception->mentioned - exception->own_to_all;
        }
        return;
    }
    *unread = *mentions = 0;
    for (const MessageDelta *m = first_; m != end_; m++) {
        if (!m->countable || m->id <= cursor || m->sender == user || m->sent_at < joined_at)
            continue;
        const int64 *who = mentioned_ + m->mentioned;
        *unread += m->sign;
        if (m->mention_all || std::binary_search(who, who + m->mentions, user))
            *mentions += m->sign;
    }
}

} // namespace hermet
