SELECT * FROM im.user_conversation_view
 WHERE user_id = :u AND closed_at = 0 AND NOT is_hidden
 ORDER BY is_pinned DESC, list_hour DESC, greatest(last_message_time, opened_at) DESC, channel_id DESC LIMIT 50;
