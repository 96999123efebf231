-- What failures have in common: the type of the error and its message without what varies, once for
-- all of them. Failures that were recorded before name none.
CREATE TABLE family (
    id INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    error_type TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX family_by_digest ON family (digest);
ALTER TABLE failure ADD COLUMN family INTEGER REFERENCES family (id);
