UPDATE im.biz_user SET nickname = 'name ' || nextval('bench.id') WHERE id = 2;
