-- An exporter: a reader that also notes what it has exported.
GRANT SELECT, INSERT, UPDATE ON usage_tracker.export_destination, usage_tracker.export_file TO :"role";
