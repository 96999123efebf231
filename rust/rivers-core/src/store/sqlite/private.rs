//! Who may read a new storage. Keys, tracebacks and configurations in it may be secret.

use std::path::Path;

/// Creates the folder of a database if it is missing: then only the user of this process may read it and the
/// database. In a folder that others may enter, the user's umask decides.
#[cfg(unix)]
pub(super) fn create(folder: &Path, database: &Path) -> std::io::Result<()> {
    use std::fs::{DirBuilder, OpenOptions};
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
    if !folder.exists() {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
    }
    if folder.metadata()?.mode() & 0o077 != 0 || database.exists() {
        return Ok(());
    }
    // SQLite gives its other files the mode of the database.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(database).map(drop)
}

/// Creates the folder of a database if it is missing.
#[cfg(not(unix))]
pub(super) fn create(folder: &Path, _database: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)
}
