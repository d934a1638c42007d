SELECT q.* FROM bench.inbox q
 WHERE q.user_id = :u AND q.closed_at = 0 AND NOT q.is_hidden
 ORDER BY q.is_pinned DESC, greatest(q.last_message_time, q.opened_at) DESC, q.channel_id DESC LIMIT 50;
