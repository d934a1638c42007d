-- The rows of the inbox by hand: the query, an INSERT, and nothing around it.
INSERT INTO bench.copy SELECT q.*, 0 FROM bench.inbox_rows q;
