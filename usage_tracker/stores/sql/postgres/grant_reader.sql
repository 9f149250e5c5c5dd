-- A reader: reports, events, dashboards. It reads everything, also what later migrations add, and changes nothing.
GRANT USAGE ON SCHEMA usage_tracker TO :"role";
GRANT SELECT ON ALL TABLES IN SCHEMA usage_tracker TO :"role";
ALTER DEFAULT PRIVILEGES IN SCHEMA usage_tracker GRANT SELECT ON TABLES TO :"role";
