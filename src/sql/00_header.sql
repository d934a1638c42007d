/* hermet @VERSION@: installed by CREATE EXTENSION hermet. Joined by make from src/sql. */
\echo Use "CREATE EXTENSION hermet" to load this file. \quit
