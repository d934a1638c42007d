SELECT q.*
  FROM (SELECT cm.user_id, cm.channel_id
          FROM im.channel_member cm
          JOIN im.channel c ON c.id = cm.channel_id
          LEFT JOIN im.conversation_setting st ON st.user_id = cm.user_id AND st.channel_id = cm.channel_id
         WHERE cm.user_id = :u AND cm.left_at = 0 AND c.channel_status = 'active'
           AND NOT coalesce(st.is_hidden, false) AND coalesce(st.closed_at, 0) <= c.last_message_at
         ORDER BY coalesce(st.is_pinned, false) DESC, greatest(c.last_message_at, cm.joined_at) DESC, cm.channel_id DESC LIMIT 50) p
  JOIN LATERAL (SELECT * FROM bench.inbox q WHERE q.user_id = p.user_id AND q.channel_id = p.channel_id OFFSET 0) q ON true
 ORDER BY q.is_pinned DESC, greatest(q.last_message_time, q.opened_at) DESC, q.channel_id DESC;
