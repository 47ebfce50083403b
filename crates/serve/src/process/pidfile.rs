use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The `pidfile`, removed when the server ends.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Writes this process's ID.
    ///
    /// # Errors
    /// The file could not be made or written.
    pub(crate) fn write(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // After the change of user the folder may not be ours any more: then the file is left, but empty,
        // so that nobody signals a process that has taken over the number.
        if std::fs::remove_file(&self.path).is_err() {
            let _ = self.file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_process_id_and_goes() {
        let path = std::env::temp_dir().join(format!("sluicegate-pid-{}", std::process::id()));
        let file = PidFile::write(&path).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            format!("{}\n", std::process::id())
        );
        drop(file);
        assert!(!path.exists());
    }
}
