-- Roles and schema of the history, with no more rights than each needs. Run once by the administrator of the database:
--   createdb history && psql -v ON_ERROR_STOP=1 -d history -f roles.sql
-- Then set the passwords (psql: \password scada) and let them in by pg_hba.conf, over TLS:
--   hostssl history scada,scada_reader 10.0.0.0/8 scram-sha-256
-- scada         writes: owns one schema and nothing else.
-- scada_reader  others read: the views samples, minutes, gaps and points. The server grants them when it makes them.

create role scada login connection limit 4;
create role scada_reader login connection limit 50;

revoke all on schema public from public;
do $$ begin
  execute format('revoke all on database %I from public', current_database());
  execute format('grant connect on database %I to scada, scada_reader', current_database());
  execute format('grant temporary on database %I to scada', current_database());
end $$;

create schema scada_history authorization scada;

-- a question without a time holds nobody up for long, and changes nothing
alter role scada_reader set default_transaction_read_only = on;
alter role scada_reader set statement_timeout = '60s';
alter role scada_reader set idle_in_transaction_session_timeout = '60s';
alter role scada_reader set search_path = scada_history;
