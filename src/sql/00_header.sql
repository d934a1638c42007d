/* hermet @VERSION@, joined by make from src/sql. */
\echo Use "CREATE EXTENSION hermet" to load this file. \quit
