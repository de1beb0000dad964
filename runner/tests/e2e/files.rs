//! Files that a test writes and reads, gone when it ends.

use std::path::PathBuf;

use tempfile::TempDir;

/// A folder of a test's own.
pub struct Folder(TempDir);

impl Folder {
    /// A new one.
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// The path of a file in it, as text.
    pub fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.to_str().expect("temporary folders have plain names").to_string()
    }

    /// Writes a file in it and gives its path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("the file can be written");
        path
    }

    /// Reads a file in it.
    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).expect("the file is there")
    }

    /// Reads a JSON file in it.
    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&self.read(name)).expect("the file is JSON")
    }

    /// The only result in a JSON file of results.
    pub fn result(&self, name: &str) -> serde_json::Value {
        let json = self.json(name);
        let [only] = &json["results"].as_array().expect("results")[..] else {
            panic!("one result: {json:#}")
        };
        only.clone()
    }
}
