-- The read side by hand: its queries, four INSERTs, and nothing around them.
INSERT INTO bench.user_conversation_view SELECT * FROM bench.inbox_rows;
INSERT INTO bench.conversation_reverse_index
SELECT peer_user_id, user_id, channel_id, created_at FROM bench.user_conversation_view WHERE conversation_type = 'single';
INSERT INTO bench.user_contact_view SELECT * FROM bench.book_rows;
INSERT INTO bench.contact_reverse_index SELECT friend_id, user_id, created_at FROM im.friendship WHERE deleted_at = 0;
