//! Large values, a file each: written before the row that refers to it, removed after it.

use std::fs::{DirEntry, File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Size from which a value gets a file of its own, in bytes.
pub(super) const MIN_SIZE: usize = 65_536;

/// The folder of the files.
pub(super) struct LargeFiles {
    folder: PathBuf,
    is_private: bool,
}

impl LargeFiles {
    pub(super) fn new(folder: PathBuf, is_private: bool) -> Self {
        Self { folder, is_private }
    }

    /// Writes a value to a new file and syncs it. Returns the file's name.
    pub(super) fn write(&self, value: &[u8]) -> Result<String> {
        create_folder(&self.folder, self.is_private)?;
        let name = uuid::Uuid::now_v7().simple().to_string();
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        if self.is_private {
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        }
        let path = self.folder.join(&name);
        let written = options.open(&path).and_then(|mut file| {
            file.write_all(value)?;
            file.sync_data()
        });
        if let Err(error) = written {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(name)
    }

    /// Reads a value; `None` if it has been removed.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        match std::fs::read(self.folder.join(name)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes files that nothing refers to any more. What cannot be removed only takes up space.
    pub(super) fn remove(&self, names: &[String]) {
        for name in names {
            let _ = std::fs::remove_file(self.folder.join(name));
        }
    }

    /// The names of the files that were written longer ago than `age`.
    pub(super) fn older_than(&self, age: Duration) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let is_old = |entry: &DirEntry| {
            let written = entry.metadata().and_then(|found| found.modified());
            written.is_ok_and(|at| at.elapsed().is_ok_and(|past| past > age))
        };
        let old = entries.flatten().filter(is_old);
        old.filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    /// Makes the names of new files durable.
    pub(super) fn sync(&self) -> Result<()> {
        #[cfg(unix)]
        match File::open(&self.folder) {
            Ok(folder) => folder.sync_all()?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Creates a folder, which only this user may enter if it is private.
pub(super) fn create_folder(folder: &Path, is_private: bool) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    if is_private {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    }
    #[cfg(not(unix))]
    let _ = is_private;
    builder.create(folder)
}
