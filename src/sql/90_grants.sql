/*
 * Rights. The functions that read or change an instance ask for its owner themselves; the catalog is
 * open to all. What an application role needs: USAGE here, DML on the write side, SELECT on the read side.
 */
GRANT USAGE ON SCHEMA hermet TO PUBLIC;
