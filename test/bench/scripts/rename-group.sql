\set c random(:first, :first + :count - 1)
UPDATE im.channel SET channel_name = 'group ' || nextval('bench.id') WHERE id = :c;
