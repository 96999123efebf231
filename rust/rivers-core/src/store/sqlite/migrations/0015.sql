-- What an attempt left to the next, encoded, with the first of its rows; nothing where all is executed again.
ALTER TABLE attempt ADD COLUMN left_body BLOB;
